// groups (38,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3 ITEM_ARGUMENTS)
{
  __local float near0[512];
  const int m0 = ((int)(get_local_id(0)));
  const int m1 = (m0 & 31);
  for (int u2 = (((int)(get_group_id(0))) * 8); u2 < n0; u2 += (((int)(get_num_groups(0))) * 8)) {
    const int u3 = (u2 + (m0 / 32));
    const int v4 = (u3 < n0);
    const int u5 = ((u3 < (n0 - 1)) ? u3 : (n0 - 1));
    const int i6 = (u5 % n1);
    const int i7 = (u5 / n1);
    float a8 = (0x0.0p+0f);
    const int k9 = ((int)(((((long)(i7)) * ((long)(n2))) / ((long)(1)))));
    const int k10 = ((int)(((((long)((i7 + 1))) * ((long)(n2))) / ((long)(1)))));
    for (int k11 = k9; k11 < k10; k11 += 32) {
      const int k12 = (k11 + m1);
      const int v13 = (k12 < k10);
      const int k14 = ((k12 < (k10 - 1)) ? k12 : (k10 - 1));
      const float v15 = (v13 ? in0[((i6 * n3) + k14)] : (0x0.0p+0f));
      float a16 = v15;
      int m17 = m0;
      near0[m17] = a16;
      barrier(CLK_LOCAL_MEM_FENCE);
      for (int h18 = 1; h18 < 32; h18 += h18) {
        const int v19 = (h18 <= m1);
        const float v20 = near0[(m17 - (v19 ? h18 : 0))];
        a16 = (v19 ? (v20 + a16) : a16);
        m17 = (m17 ^ 256);
        near0[m17] = a16;
        barrier(CLK_LOCAL_MEM_FENCE);
      }
      const float a21 = near0[(((m17 - m0) + (m0 - m1)) + 31)];
      const float a22 = ((0 < m1) ? near0[(m17 - ((0 < m1) ? 1 : 0))] : (0x0.0p+0f));
      barrier(CLK_LOCAL_MEM_FENCE);
      const float v23 = (a8 + a16);
      if ((v13 & v4)) {
        out0[((i6 * n3) + k14)] = v23;
      }
      a8 = (a8 + a21);
    }
  }
}
