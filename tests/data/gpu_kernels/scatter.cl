// groups (3,) of (256,)
KERNEL(256, 1, 1) void k0(__global const long *in0, __global const long *in1, __global long *out0, const int n0, const int n1 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    const long v1 = in0[u0];
    out0[u0] = ((long)((((ulong)(in1[u0])) + ((ulong)(((long)((((ulong)(((v1 < 0L) ? ((long)((((ulong)(v1)) + ((ulong)(50L))))) : v1))) * ((ulong)(7L))))))))));
  }
}

// groups (1,) of (256,)
KERNEL(256, 1, 1) void k1(__global const long *restrict in0, __global const float *restrict in1, __global float *restrict out0, __global int *restrict fault, const int n0, const int n1, const int n2, const int n3, const int n4, const int n5 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    const int i1 = (u0 % n1);
    const int i2 = (u0 / n1);
    const int k3 = ((int)(((((long)(i1)) * ((long)(n2))) / ((long)(n1)))));
    const int k4 = ((int)(((((long)((i1 + 1))) * ((long)(n2))) / ((long)(n1)))));
    for (int k5 = k3; k5 < k4; ++k5) {
      out0[k5] = (0x0.0p+0f);
    }
    const int k7 = ((int)(((((long)(i2)) * ((long)(n3))) / ((long)(1)))));
    const int k8 = ((int)(((((long)((i2 + 1))) * ((long)(n3))) / ((long)(1)))));
    for (int k6 = k7; k6 < k8; ++k6) {
      for (int k9 = 0; k9 < n4; ++k9) {
        const int v10 = ((int)(((ulong)(in0[((k6 * n5) + k9)]) < 350 ? in0[((k6 * n5) + k9)] : (*fault = 1, 0))));
        if (((k3 <= v10) & (v10 < k4))) {
          const float v11 = in1[((k6 * n5) + k9)];
          const float v12 = out0[v10];
          out0[v10] = (v12 + v11);
        }
      }
    }
  }
}

// groups (2,) of (256,)
KERNEL(256, 1, 1) void k2(__global const float *in0, __global const float *in1, __global float *out0, const int n0, const int n1 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    float a1 = (0x0.0p+0f);
    const float v2 = in0[u0];
    a1 = (a1 + v2);
    out0[u0] = (in1[u0] + a1);
  }
}

// groups (2,) of (256,)
KERNEL(256, 1, 1) void k3(__global const float *in0, __global float *out0, const int n0, const int n1 ITEM_ARGUMENTS)
{
  for (int u0 = ((int)(ITEM(0))); u0 < n0; u0 += ((int)(ITEMS))) {
    out0[u0] = in0[u0];
  }
}
