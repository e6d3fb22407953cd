// groups (36,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    float a1 = (0x0.0p+0f);
    for (int k2 = 0; k2 < n2; ++k2) {
      const float v3 = in0[((k2 * n3) + u0)];
      a1 = (a1 + v3);
    }
    out0[u0] = a1;
  }
}
