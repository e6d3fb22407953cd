// groups (128,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5, const int n6, const int n7, const int n8, const int n9 ITEM_ARGUMENTS)
{
  __local float near0[256];
  const int m0 = ((int)(get_local_id(0)));
  for (int u1 = ((int)(get_group_id(0))); u1 < n0; u1 += ((int)(get_num_groups(0)))) {
    float a2 = as_float(0xff800000U);
    for (int k3 = m0; k3 < n2; k3 += 256) {
      const float v4 = in0[((u1 * n3) + k3)];
      a2 = (((v4 < a2) | (a2 != a2)) ? a2 : v4);
    }
    near0[m0] = a2;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int h5 = 1; h5 < 256; h5 += h5) {
      const int h6 = (128 / h5);
      if ((m0 < h6)) {
        const float v7 = near0[m0];
        const float v8 = near0[(m0 + h6)];
        near0[m0] = (((v8 < v7) | (v7 != v7)) ? v7 : v8);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float a9 = near0[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    float a10 = (0x0.0p+0f);
    for (int k11 = m0; k11 < n4; k11 += 256) {
      const float v12 = (in0[((u1 * n5) + k11)] - a9);
      const float v13 = (((0x1.6400000000000p+6f) < v12) ? (0x1.6400000000000p+6f) : v12);
      const float v14 = ((v13 < (-0x1.a000000000000p+6f)) ? (-0x1.a000000000000p+6f) : v13);
      const float v15 = ((v14 * (0x1.71547652b82fep-1f)) + (0x1.8000fe0000000p+23f));
      const float v16 = (v15 - (0x1.8000fe0000000p+23f));
      const float v17 = ((v14 - (v16 * (0x1.6300000000000p+0f))) - (v16 * (-0x1.bd0105c4242eap-12f)));
      const float v18 = as_float((as_int(v15) << 23));
      const float v19 = (((((((((((((((((0x1.9e822fff98c8cp-13f) * v17) + (0x1.71d29a00ad42bp-10f)) * v17) + (0x1.111f31ffe8b77p-7f)) * v17) + (0x1.5549ae00a532ap-5f)) * v17) + (0x1.555525ffcc871p-3f)) * v17) + (0x1.00000bffc2b75p-1f)) * v17) + (0x1.0000000000000p+0f)) * v17) + (0x1.0000000000000p+0f)) * v18) * v18);
      a10 = (a10 + v19);
    }
    near0[m0] = a10;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int h20 = 1; h20 < 256; h20 += h20) {
      const int h21 = (128 / h20);
      if ((m0 < h21)) {
        const float v22 = near0[m0];
        const float v23 = near0[(m0 + h21)];
        near0[m0] = (v22 + v23);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float a24 = near0[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int j25 = m0; j25 < n8; j25 += n9) {
      const float v26 = (in0[((u1 * n7) + j25)] - a9);
      const float v27 = (((0x1.6400000000000p+6f) < v26) ? (0x1.6400000000000p+6f) : v26);
      const float v28 = ((v27 < (-0x1.a000000000000p+6f)) ? (-0x1.a000000000000p+6f) : v27);
      const float v29 = ((v28 * (0x1.71547652b82fep-1f)) + (0x1.8000fe0000000p+23f));
      const float v30 = (v29 - (0x1.8000fe0000000p+23f));
      const float v31 = ((v28 - (v30 * (0x1.6300000000000p+0f))) - (v30 * (-0x1.bd0105c4242eap-12f)));
      const float v32 = as_float((as_int(v29) << 23));
      out0[((u1 * n7) + j25)] = ((((((((((((((((((0x1.9e822fff98c8cp-13f) * v31) + (0x1.71d29a00ad42bp-10f)) * v31) + (0x1.111f31ffe8b77p-7f)) * v31) + (0x1.5549ae00a532ap-5f)) * v31) + (0x1.555525ffcc871p-3f)) * v31) + (0x1.00000bffc2b75p-1f)) * v31) + (0x1.0000000000000p+0f)) * v31) + (0x1.0000000000000p+0f)) * v32) * v32) / a24);
    }
  }
}
