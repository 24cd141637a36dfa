// Splitting work over LibTorch's intra-op threads.
//
// at::parallel_for is a template whose body is serial, silently, in every file that is compiled
// without -fopenmp. This one is compiled in the target that has the flag, so that any room may call
// it.
#pragma once

#include <c10/util/FunctionRef.h>

#include <cstdint>

namespace atelier::kernels {

// Calls `work(first, last)` on disjoint ranges that together are [0, size), of at least `grain`
// each (but the last), on at most at::get_num_threads() threads; returns when all are done. Within
// another parallel region it stays on the caller's thread.
void ParallelFor(std::int64_t size, std::int64_t grain,
                 c10::function_ref<void(std::int64_t first, std::int64_t last)> work);

// What the calling thread is to split from now on stays on it: for threads beside the one that
// computes, which would otherwise each keep as many threads of their own. The others go on as they
// are.
void StayOnThisThread();

}  // namespace atelier::kernels
