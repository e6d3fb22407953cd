// groups (3,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global const float *restrict in1, __global const float *restrict in2, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5, const int n6, const int n7, const int n8, const int n9, const int n10, const int n11, const int n12, const int n13, const int n14, const int n15, const int n16, const int n17, const int n18, const int n19, const int n20, const int n21, const int n22, const int n23, const int n24, const int n25 ITEM_ARGUMENTS)
{
  __local float near0[528];
  __local float near1[528];
  const int m0 = ((int)(get_local_id(0)));
  const int m1 = (m0 / 16);
  const int m2 = (m0 % 16);
  for (int t3 = ((int)(get_group_id(0))); t3 < n25; t3 += ((int)(get_num_groups(0)))) {
    const int i4 = ((t3 % 1) * 32);
    const int i5 = (t3 / 1);
    const int i6 = ((i5 % n0) * 32);
    const int i7 = (i5 / n0);
    float a8 = (0x0.0p+0f);
    float a9 = (0x0.0p+0f);
    float a10 = (0x0.0p+0f);
    float a11 = (0x0.0p+0f);
    for (int k12 = 0; k12 < n1; k12 += 16) {
      for (int e13 = m0; e13 < 512; e13 += 256) {
        const int e14 = (e13 % 16);
        const int e15 = (e13 / 16);
        const int i16 = (i6 + e15);
        const int i17 = ((i16 < n2) ? i16 : n2);
        const int k18 = (k12 + e14);
        const int i19 = (i17 % n4);
        const int i20 = (i17 / n4);
        const int i21 = (k18 % n7);
        const int i22 = (k18 / n7);
        const int i23 = (i22 % n6);
        const int i24 = (i22 / n6);
        near0[((e14 * 33) + e15)] = ((((0 <= ((i20 + i23) + n12)) & (((i20 + i23) + n12) < n13)) & ((0 <= ((i19 + i21) + n14)) & (((i19 + i21) + n14) < n15))) ? in0[((((((i24 * n8) + (i20 * n9)) + (i23 * n10)) + i19) + i21) + n11)] : (0x0.0p+0f));
      }
      for (int e25 = m0; e25 < 512; e25 += 256) {
        const int e26 = (e25 % 16);
        const int e27 = (e25 / 16);
        const int i28 = (i4 + e27);
        const int i29 = ((i28 < n16) ? i28 : n16);
        const int k30 = (k12 + e26);
        const int i31 = (k30 % n7);
        const int i32 = (k30 / n7);
        const int i33 = (i32 % n6);
        const int i34 = (i32 / n6);
        near1[((e26 * 33) + e27)] = in1[((((i29 * n18) + (i34 * n19)) + (i33 * n20)) + i31)];
      }
      barrier(CLK_LOCAL_MEM_FENCE);
      for (int k35 = 0; k35 < 16; ++k35) {
        const float v36 = near0[((k35 * 33) + m1)];
        const float v37 = near0[((k35 * 33) + (m1 + 16))];
        const float v38 = near1[((k35 * 33) + m2)];
        const float v39 = near1[((k35 * 33) + (m2 + 16))];
        a8 = (a8 + (v36 * v38));
        a9 = (a9 + (v36 * v39));
        a10 = (a10 + (v37 * v38));
        a11 = (a11 + (v37 * v39));
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const int i40 = (i6 + m1);
    const int v41 = (i40 < n21);
    const int i42 = (i40 % n4);
    const int i43 = (i40 / n4);
    const int i44 = (i6 + (m1 + 16));
    const int v45 = (i44 < n21);
    const int i46 = (i44 % n4);
    const int i47 = (i44 / n4);
    const int i48 = (i4 + m2);
    const int v49 = (i48 < n22);
    const int i50 = (i4 + (m2 + 16));
    const int v51 = (i50 < n22);
    if (v41) {
      if (v49) {
        const float v52 = (a8 + in2[i48]);
        out0[(((i48 * n23) + (i43 * n24)) + i42)] = ((((0x0.0p+0f) < v52) | (v52 != v52)) ? v52 : (0x0.0p+0f));
      }
    }
    if (v41) {
      if (v51) {
        const float v53 = (a9 + in2[i50]);
        out0[(((i50 * n23) + (i43 * n24)) + i42)] = ((((0x0.0p+0f) < v53) | (v53 != v53)) ? v53 : (0x0.0p+0f));
      }
    }
    if (v45) {
      if (v49) {
        const float v54 = (a10 + in2[i48]);
        out0[(((i48 * n23) + (i47 * n24)) + i46)] = ((((0x0.0p+0f) < v54) | (v54 != v54)) ? v54 : (0x0.0p+0f));
      }
    }
    if (v45) {
      if (v51) {
        const float v55 = (a11 + in2[i50]);
        out0[(((i50 * n23) + (i47 * n24)) + i46)] = ((((0x0.0p+0f) < v55) | (v55 != v55)) ? v55 : (0x0.0p+0f));
      }
    }
  }
}
