// groups (3,) of (256,)
KERNEL(256, 1, 1) void k0(__global const long *in0, __global const long *in1, __global long *out0, const int n0, const int n1 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    const long v1 = in0[u0];
    out0[u0] = ((long)((((ulong)(in1[u0])) + ((ulong)(((long)((((ulong)(((v1 < 0L) ? ((long)((((ulong)(v1)) + ((ulong)(50L))))) : v1))) * ((ulong)(7L))))))))));
  }
}

// groups (2,) of (256,)
KERNEL(256, 1, 1) void k1(__global int *restrict out0, const int n0, const int n1 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    out0[u0] = 0;
  }
}

// groups (3,) of (256,)
KERNEL(256, 1, 1) void k2(__global const long *restrict in0, __global const int *restrict in1, __global int *restrict out0, __global int *restrict fault, const int n0, const int n1, const int n2, const int n3 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    const int i1 = (u0 % n2);
    const int i2 = (u0 / n2);
    const int v3 = ((int)(((ulong)(in0[((i2 * n3) + i1)]) < 350 ? in0[((i2 * n3) + i1)] : (*fault = 1, 0))));
    atomic_add((volatile __global int *)(out0 + v3), in1[((i2 * n3) + i1)]);
  }
}

// groups (2,) of (256,)
KERNEL(256, 1, 1) void k3(__global const int *in0, __global const int *in1, __global int *out0, const int n0, const int n1 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    int a1 = 0;
    const int v2 = in0[u0];
    a1 = ((int)((((uint)(a1)) + ((uint)(v2)))));
    out0[u0] = ((int)((((uint)(in1[u0])) + ((uint)(a1)))));
  }
}

// groups (2,) of (256,)
KERNEL(256, 1, 1) void k4(__global const int *in0, __global int *out0, const int n0, const int n1 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    out0[u0] = in0[u0];
  }
}
