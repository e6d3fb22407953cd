// groups (1,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4 ITEM_ARGUMENTS)
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
    for (int k9 = 0; k9 < n4; k9 += 32) {
      const int k10 = ((0 + k9) + m1);
      const int v11 = (k10 < n2);
      const int k12 = ((k10 < (n2 - 1)) ? k10 : (n2 - 1));
      const float v13 = (v11 ? in0[((i6 * n3) + k12)] : (0x0.0p+0f));
      float a14 = v13;
      int m15 = m0;
      near0[m15] = a14;
      barrier(CLK_LOCAL_MEM_FENCE);
      for (int h16 = 1; h16 < 32; h16 += h16) {
        const int v17 = (h16 <= m1);
        const float v18 = near0[(m15 - (v17 ? h16 : 0))];
        a14 = (v17 ? (v18 + a14) : a14);
        m15 = (m15 ^ 256);
        near0[m15] = a14;
        barrier(CLK_LOCAL_MEM_FENCE);
      }
      const float a19 = near0[(((m15 - m0) + (m0 - m1)) + 31)];
      const float a20 = ((0 < m1) ? near0[(m15 - ((0 < m1) ? 1 : 0))] : (0x0.0p+0f));
      barrier(CLK_LOCAL_MEM_FENCE);
      const float v21 = (a8 + a14);
      if ((v11 & v4)) {
        out0[((i6 * n3) + k12)] = v21;
      }
      a8 = (a8 + a19);
    }
  }
}
