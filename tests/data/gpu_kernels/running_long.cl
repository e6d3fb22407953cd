// groups (6,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5, const int n6 ITEM_ARGUMENTS)
{
  __local float near0[256];
  const int m0 = ((int)(get_local_id(0)));
  for (int u1 = ((int)(get_group_id(0))); u1 < n0; u1 += ((int)(get_num_groups(0)))) {
    const int i2 = (u1 % n2);
    const int i3 = (u1 / n2);
    float a4 = (0x0.0p+0f);
    const int k6 = ((int)(((((long)(i3)) * ((long)(n3))) / ((long)(n4)))));
    const int k7 = ((int)(((((long)((i3 + 1))) * ((long)(n3))) / ((long)(n4)))));
    const int v9 = (k7 - k6);
    for (int k5 = m0; k5 < v9; k5 += 256) {
      const float v8 = in0[((i2 * n5) + (k5 + k6))];
      a4 = (a4 + v8);
    }
    near0[m0] = a4;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int h10 = 1; h10 < 256; h10 += h10) {
      const int h11 = (128 / h10);
      if ((m0 < h11)) {
        const float v12 = near0[m0];
        const float v13 = near0[(m0 + h11)];
        near0[m0] = (v12 + v13);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float a14 = near0[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    if ((m0 == 0)) {
      out0[((i3 * n6) + i2)] = a14;
    }
  }
}

// groups (6,) of (256,)
KERNEL(256, 1, 1) void k1(__global const float *restrict in0, __global const float *restrict in1, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5, const int n6, const int n7 ITEM_ARGUMENTS)
{
  __local float near0[512];
  const int m0 = ((int)(get_local_id(0)));
  for (int u1 = ((int)(get_group_id(0))); u1 < n0; u1 += ((int)(get_num_groups(0)))) {
    const int i2 = (u1 % n2);
    const int i3 = (u1 / n2);
    float a4 = (0x0.0p+0f);
    for (int k5 = 0; k5 < i3; ++k5) {
      a4 = (a4 + in1[((k5 * n3) + i2)]);
    }
    const int k6 = ((int)(((((long)(i3)) * ((long)(n4))) / ((long)(n5)))));
    const int k7 = ((int)(((((long)((i3 + 1))) * ((long)(n4))) / ((long)(n5)))));
    for (int k8 = 0; k8 < n7; k8 += 256) {
      const int k9 = ((k6 + k8) + m0);
      const int v10 = (k9 < k7);
      const int k11 = ((k9 < (k7 - 1)) ? k9 : (k7 - 1));
      const float v12 = (v10 ? in0[((i2 * n6) + k11)] : (0x0.0p+0f));
      float a13 = v12;
      int m14 = m0;
      near0[m14] = a13;
      barrier(CLK_LOCAL_MEM_FENCE);
      for (int h15 = 1; h15 < 256; h15 += h15) {
        const int v16 = (h15 <= m0);
        const float v17 = near0[(m14 - (v16 ? h15 : 0))];
        a13 = (v16 ? (v17 + a13) : a13);
        m14 = (m14 ^ 256);
        near0[m14] = a13;
        barrier(CLK_LOCAL_MEM_FENCE);
      }
      const float a18 = near0[(((m14 - m0) + 0) + 255)];
      const float a19 = ((0 < m0) ? near0[(m14 - ((0 < m0) ? 1 : 0))] : (0x0.0p+0f));
      barrier(CLK_LOCAL_MEM_FENCE);
      const float v20 = (a4 + a13);
      if (v10) {
        out0[((i2 * n6) + k11)] = v20;
      }
      a4 = (a4 + a18);
    }
  }
}
