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
      const float v15 = ((v14 * (0x1.71547652b82fep+0f)) + (0x1.8001fc0000000p+23f));
      const float v16 = (v15 - (0x1.8001fc0000000p+23f));
      const float v17 = ((v14 - (v16 * (0x1.6300000000000p-1f))) - (v16 * (-0x1.bd0105c4242eap-13f)));
      const int v18 = as_int(v15);
      const int v19 = (v18 >> 1);
      const float v20 = (((((((((((((((0x1.697d60001bce4p-10f) * v17) + (0x1.123991ffd5730p-7f)) * v17) + (0x1.5559fdffcd0dcp-5f)) * v17) + (0x1.555491ff50c08p-3f)) * v17) + (0x1.fffffa001ea45p-2f)) * v17) + (0x1.0000000000000p+0f)) * v17) + (0x1.0000000000000p+0f)) * as_float((v19 << 23))) * as_float(((v18 - v19) << 23)));
      a10 = (a10 + v20);
    }
    near0[m0] = a10;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int h21 = 1; h21 < 256; h21 += h21) {
      const int h22 = (128 / h21);
      if ((m0 < h22)) {
        const float v23 = near0[m0];
        const float v24 = near0[(m0 + h22)];
        near0[m0] = (v23 + v24);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float a25 = near0[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int j26 = m0; j26 < n8; j26 += n9) {
      const float v27 = (in0[((u1 * n7) + j26)] - a9);
      const float v28 = (((0x1.6400000000000p+6f) < v27) ? (0x1.6400000000000p+6f) : v27);
      const float v29 = ((v28 < (-0x1.a000000000000p+6f)) ? (-0x1.a000000000000p+6f) : v28);
      const float v30 = ((v29 * (0x1.71547652b82fep+0f)) + (0x1.8001fc0000000p+23f));
      const float v31 = (v30 - (0x1.8001fc0000000p+23f));
      const float v32 = ((v29 - (v31 * (0x1.6300000000000p-1f))) - (v31 * (-0x1.bd0105c4242eap-13f)));
      const int v33 = as_int(v30);
      const int v34 = (v33 >> 1);
      out0[((u1 * n7) + j26)] = ((((((((((((((((0x1.697d60001bce4p-10f) * v32) + (0x1.123991ffd5730p-7f)) * v32) + (0x1.5559fdffcd0dcp-5f)) * v32) + (0x1.555491ff50c08p-3f)) * v32) + (0x1.fffffa001ea45p-2f)) * v32) + (0x1.0000000000000p+0f)) * v32) + (0x1.0000000000000p+0f)) * as_float((v34 << 23))) * as_float(((v33 - v34) << 23))) / a25);
    }
  }
}
