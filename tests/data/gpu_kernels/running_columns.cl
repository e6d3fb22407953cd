// groups (11,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5, const int n6 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    const int i1 = (u0 % n2);
    const int i2 = (u0 / n2);
    float a3 = (0x0.0p+0f);
    const int k5 = ((int)(((((long)(i2)) * ((long)(n3))) / ((long)(n4)))));
    const int k6 = ((int)(((((long)((i2 + 1))) * ((long)(n3))) / ((long)(n4)))));
    for (int k4 = k5; k4 < k6; ++k4) {
      const float v7 = in0[((k4 * n5) + i1)];
      a3 = (a3 + v7);
    }
    out0[((i2 * n6) + i1)] = a3;
  }
}

// groups (11,) of (256,)
KERNEL(256, 1, 1) void k1(__global const float *restrict in0, __global const float *restrict in1, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5, const int n6 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    const int i1 = (u0 % n2);
    const int i2 = (u0 / n2);
    float a3 = (0x0.0p+0f);
    for (int k4 = 0; k4 < i2; ++k4) {
      a3 = (a3 + in1[((k4 * n3) + i1)]);
    }
    const int k5 = ((int)(((((long)(i2)) * ((long)(n4))) / ((long)(n5)))));
    const int k6 = ((int)(((((long)((i2 + 1))) * ((long)(n4))) / ((long)(n5)))));
    for (int k7 = k5; k7 < k6; ++k7) {
      const float v8 = in0[((k7 * n6) + i1)];
      const float v9 = (a3 + v8);
      out0[((k7 * n6) + i1)] = v9;
      a3 = v9;
    }
  }
}
