#include "worker/kernels/parallel.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <thread>

namespace atelier::kernels {
namespace {

TEST(ParallelTest, AThreadThatStaysAloneLeavesTheOthersTheirs) {
  at::set_num_threads(3);
  int of_side = 0;
  int of_next = 0;
  std::thread([&] {
    StayOnThisThread();
    of_side = at::get_num_threads();
  }).join();
  std::thread([&] { of_next = at::get_num_threads(); }).join();
  EXPECT_EQ(of_side, 1);
  EXPECT_EQ(of_next, 3);
  EXPECT_EQ(at::get_num_threads(), 3);
}

}  // namespace
}  // namespace atelier::kernels
