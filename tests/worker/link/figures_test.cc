#include "worker/link/figures.h"

#include <gtest/gtest.h>

#include "common/process_memory.h"

namespace atelier::worker {
namespace {

TEST(FiguresTest, AProcessUsesSomeOfItsMachinesMemory) {
  EXPECT_GT(ResidentBytes(), 1U << 20U);
  EXPECT_LT(ResidentBytes(), MachineMemoryBytes());
}

}  // namespace
}  // namespace atelier::worker
