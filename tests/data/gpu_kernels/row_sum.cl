// groups (128,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3 ITEM_ARGUMENTS)
{
  __local float near0[256];
  const int m0 = ((int)(get_local_id(0)));
  const int m1 = (m0 & 31);
  for (int u2 = (((int)(get_group_id(0))) * 8); u2 < n0; u2 += (((int)(get_num_groups(0))) * 8)) {
    const int u3 = (u2 + (m0 / 32));
    const int v4 = (u3 < n0);
    const int u5 = ((u3 < (n0 - 1)) ? u3 : (n0 - 1));
    float a6 = (0x0.0p+0f);
    for (int k7 = m1; k7 < n2; k7 += 32) {
      const float v8 = in0[((u5 * n3) + k7)];
      a6 = (a6 + v8);
    }
    near0[m0] = a6;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int h9 = 1; h9 < 32; h9 += h9) {
      const int h10 = (16 / h9);
      if ((m1 < h10)) {
        const float v11 = near0[m0];
        const float v12 = near0[(m0 + h10)];
        near0[m0] = (v11 + v12);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float a13 = near0[(m0 - m1)];
    barrier(CLK_LOCAL_MEM_FENCE);
    if ((v4 & (m1 == 0))) {
      out0[u5] = a13;
    }
  }
}
