// groups (4,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5, const int n6, const int n7, const int n8, const int n9, const int n10, const int n11, const int n12, const int n13 ITEM_ARGUMENTS)
{
  __local float near0[512];
  __local float near1[512];
  const int m0 = ((int)(get_local_id(0)));
  const int m1 = (m0 / 16);
  const int m2 = (m0 % 16);
  for (int t3 = ((int)(get_group_id(0))); t3 < n13; t3 += ((int)(get_num_groups(0)))) {
    const int i4 = ((t3 % n0) * 32);
    const int i5 = (t3 / n0);
    const int i6 = ((i5 % n1) * 32);
    const int i7 = (i5 / n1);
    float a8 = (0x0.0p+0f);
    float a9 = (0x0.0p+0f);
    float a10 = (0x0.0p+0f);
    float a11 = (0x0.0p+0f);
    for (int k12 = 0; k12 < n2; k12 += 16) {
      for (int e13 = m0; e13 < 512; e13 += 256) {
        const int e14 = (e13 % 32);
        const int e15 = (e13 / 32);
        const int i16 = (i6 + e14);
        const int i17 = ((i16 < n3) ? i16 : n3);
        const int k18 = (k12 + e15);
        const int v19 = (k18 < n2);
        const int k20 = ((k18 < (n2 - 1)) ? k18 : (n2 - 1));
        near0[((e15 * 32) + e14)] = (v19 ? in0[((k20 * n6) + i17)] : (0x0.0p+0f));
      }
      for (int e21 = m0; e21 < 512; e21 += 256) {
        const int e22 = (e21 % 32);
        const int e23 = (e21 / 32);
        const int i24 = (i4 + e22);
        const int i25 = ((i24 < n7) ? i24 : n7);
        const int k26 = (k12 + e23);
        const int v27 = (k26 < n2);
        const int k28 = ((k26 < (n2 - 1)) ? k26 : (n2 - 1));
        near1[((e23 * 32) + e22)] = (v27 ? in0[((k28 * n9) + i25)] : (0x0.0p+0f));
      }
      barrier(CLK_LOCAL_MEM_FENCE);
      for (int k29 = 0; k29 < 16; ++k29) {
        const float v30 = near0[((k29 * 32) + m1)];
        const float v31 = near0[((k29 * 32) + (m1 + 16))];
        const float v32 = near1[((k29 * 32) + m2)];
        const float v33 = near1[((k29 * 32) + (m2 + 16))];
        a8 = (a8 + (v30 * v32));
        a9 = (a9 + (v30 * v33));
        a10 = (a10 + (v31 * v32));
        a11 = (a11 + (v31 * v33));
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const int i34 = (i6 + m1);
    const int v35 = (i34 < n10);
    const int i36 = (i6 + (m1 + 16));
    const int v37 = (i36 < n10);
    const int i38 = (i4 + m2);
    const int v39 = (i38 < n11);
    const int i40 = (i4 + (m2 + 16));
    const int v41 = (i40 < n11);
    if (v35) {
      if (v39) {
        const float v42 = (((0x1.6400000000000p+6f) < a8) ? (0x1.6400000000000p+6f) : a8);
        const float v43 = ((v42 < (-0x1.a000000000000p+6f)) ? (-0x1.a000000000000p+6f) : v42);
        const float v44 = ((v43 * (0x1.71547652b82fep-1f)) + (0x1.8000fe0000000p+23f));
        const float v45 = (v44 - (0x1.8000fe0000000p+23f));
        const float v46 = ((v43 - (v45 * (0x1.6300000000000p+0f))) - (v45 * (-0x1.bd0105c4242eap-12f)));
        const float v47 = as_float((as_int(v44) << 23));
        out0[((i34 * n12) + i38)] = (((((((((((((((((0x1.9e822fff98c8cp-13f) * v46) + (0x1.71d29a00ad42bp-10f)) * v46) + (0x1.111f31ffe8b77p-7f)) * v46) + (0x1.5549ae00a532ap-5f)) * v46) + (0x1.555525ffcc871p-3f)) * v46) + (0x1.00000bffc2b75p-1f)) * v46) + (0x1.0000000000000p+0f)) * v46) + (0x1.0000000000000p+0f)) * v47) * v47);
      }
    }
    if (v35) {
      if (v41) {
        const float v48 = (((0x1.6400000000000p+6f) < a9) ? (0x1.6400000000000p+6f) : a9);
        const float v49 = ((v48 < (-0x1.a000000000000p+6f)) ? (-0x1.a000000000000p+6f) : v48);
        const float v50 = ((v49 * (0x1.71547652b82fep-1f)) + (0x1.8000fe0000000p+23f));
        const float v51 = (v50 - (0x1.8000fe0000000p+23f));
        const float v52 = ((v49 - (v51 * (0x1.6300000000000p+0f))) - (v51 * (-0x1.bd0105c4242eap-12f)));
        const float v53 = as_float((as_int(v50) << 23));
        out0[((i34 * n12) + i40)] = (((((((((((((((((0x1.9e822fff98c8cp-13f) * v52) + (0x1.71d29a00ad42bp-10f)) * v52) + (0x1.111f31ffe8b77p-7f)) * v52) + (0x1.5549ae00a532ap-5f)) * v52) + (0x1.555525ffcc871p-3f)) * v52) + (0x1.00000bffc2b75p-1f)) * v52) + (0x1.0000000000000p+0f)) * v52) + (0x1.0000000000000p+0f)) * v53) * v53);
      }
    }
    if (v37) {
      if (v39) {
        const float v54 = (((0x1.6400000000000p+6f) < a10) ? (0x1.6400000000000p+6f) : a10);
        const float v55 = ((v54 < (-0x1.a000000000000p+6f)) ? (-0x1.a000000000000p+6f) : v54);
        const float v56 = ((v55 * (0x1.71547652b82fep-1f)) + (0x1.8000fe0000000p+23f));
        const float v57 = (v56 - (0x1.8000fe0000000p+23f));
        const float v58 = ((v55 - (v57 * (0x1.6300000000000p+0f))) - (v57 * (-0x1.bd0105c4242eap-12f)));
        const float v59 = as_float((as_int(v56) << 23));
        out0[((i36 * n12) + i38)] = (((((((((((((((((0x1.9e822fff98c8cp-13f) * v58) + (0x1.71d29a00ad42bp-10f)) * v58) + (0x1.111f31ffe8b77p-7f)) * v58) + (0x1.5549ae00a532ap-5f)) * v58) + (0x1.555525ffcc871p-3f)) * v58) + (0x1.00000bffc2b75p-1f)) * v58) + (0x1.0000000000000p+0f)) * v58) + (0x1.0000000000000p+0f)) * v59) * v59);
      }
    }
    if (v37) {
      if (v41) {
        const float v60 = (((0x1.6400000000000p+6f) < a11) ? (0x1.6400000000000p+6f) : a11);
        const float v61 = ((v60 < (-0x1.a000000000000p+6f)) ? (-0x1.a000000000000p+6f) : v60);
        const float v62 = ((v61 * (0x1.71547652b82fep-1f)) + (0x1.8000fe0000000p+23f));
        const float v63 = (v62 - (0x1.8000fe0000000p+23f));
        const float v64 = ((v61 - (v63 * (0x1.6300000000000p+0f))) - (v63 * (-0x1.bd0105c4242eap-12f)));
        const float v65 = as_float((as_int(v62) << 23));
        out0[((i36 * n12) + i40)] = (((((((((((((((((0x1.9e822fff98c8cp-13f) * v64) + (0x1.71d29a00ad42bp-10f)) * v64) + (0x1.111f31ffe8b77p-7f)) * v64) + (0x1.5549ae00a532ap-5f)) * v64) + (0x1.555525ffcc871p-3f)) * v64) + (0x1.00000bffc2b75p-1f)) * v64) + (0x1.0000000000000p+0f)) * v64) + (0x1.0000000000000p+0f)) * v65) * v65);
      }
    }
  }
}
