// groups (128,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global long *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5 ITEM_ARGUMENTS)
{
  __local float near0[256];
  __local int near1[256];
  const int m0 = ((int)(get_local_id(0)));
  const int m1 = (m0 & 31);
  for (int u2 = (((int)(get_group_id(0))) * 8); u2 < n0; u2 += (((int)(get_num_groups(0))) * 8)) {
    const int u3 = (u2 + (m0 / 32));
    const int v4 = (u3 < n0);
    const int u5 = ((u3 < (n0 - 1)) ? u3 : (n0 - 1));
    float a6 = as_float(0xff800000U);
    for (int k7 = m1; k7 < n2; k7 += 32) {
      const float v8 = in0[((u5 * n3) + k7)];
      a6 = (((v8 < a6) | (a6 != a6)) ? a6 : v8);
    }
    near0[m0] = a6;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int h9 = 1; h9 < 32; h9 += h9) {
      const int h10 = (16 / h9);
      if ((m1 < h10)) {
        const float v11 = near0[m0];
        const float v12 = near0[(m0 + h10)];
        near0[m0] = (((v12 < v11) | (v11 != v11)) ? v11 : v12);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const float a13 = near0[(m0 - m1)];
    barrier(CLK_LOCAL_MEM_FENCE);
    int a14 = 2147483647;
    for (int k15 = m1; k15 < n4; k15 += 32) {
      const float v16 = in0[((u5 * n5) + k15)];
      const int v17 = (((v16 == a13) | (v16 != v16)) ? k15 : 500);
      a14 = ((a14 < v17) ? a14 : v17);
    }
    near1[m0] = a14;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int h18 = 1; h18 < 32; h18 += h18) {
      const int h19 = (16 / h18);
      if ((m1 < h19)) {
        const int v20 = near1[m0];
        const int v21 = near1[(m0 + h19)];
        near1[m0] = ((v20 < v21) ? v20 : v21);
      }
      barrier(CLK_LOCAL_MEM_FENCE);
    }
    const int a22 = near1[(m0 - m1)];
    barrier(CLK_LOCAL_MEM_FENCE);
    if ((v4 & (m1 == 0))) {
      out0[u5] = ((long)(a22));
    }
  }
}
