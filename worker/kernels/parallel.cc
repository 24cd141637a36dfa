#include "worker/kernels/parallel.h"

#include <ATen/Parallel.h>

#ifndef _OPENMP
#error "compile worker/kernels with OpenMP, or at::parallel_for is serial"
#endif

namespace atelier::kernels {

void ParallelFor(std::int64_t size, std::int64_t grain,
                 c10::function_ref<void(std::int64_t first, std::int64_t last)> work) {
  at::parallel_for(0, size, grain, work);
}

}  // namespace atelier::kernels
