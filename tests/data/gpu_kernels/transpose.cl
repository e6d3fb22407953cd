// groups (1,) of (256,)
KERNEL(256, 1, 1) void k0(__global const float *restrict in0, __global float *restrict out0, const int n0, const int n1, const int n2, const int n3, const int n4 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    const int i1 = (u0 % n2);
    const int i2 = (u0 / n2);
    out0[((i2 * n4) + i1)] = (in0[((i1 * n3) + i2)] * (0x1.0000000000000p+1f));
  }
}
