#include "worker/kernels/parallel.h"

#include <ATen/Parallel.h>
#include <omp.h>

#ifndef _OPENMP
#error "compile worker/kernels with OpenMP, or at::parallel_for is serial"
#endif

namespace atelier::kernels {

void ParallelFor(std::int64_t size, std::int64_t grain,
                 c10::function_ref<void(std::int64_t first, std::int64_t last)> work) {
  at::parallel_for(0, size, grain, work);
}

void StayOnThisThread() {
  at::get_num_threads();  // the first call on a thread sets the number
  omp_set_num_threads(1);
}

}  // namespace atelier::kernels
