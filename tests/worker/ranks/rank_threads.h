// A group of ranks as threads of this process.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "worker/ranks/rank_group.h"

namespace atelier::ranks {

// The options of rank `rank` of `size`; rank 0 tells the others its port through `port`.
inline RankGroup::Options ThreadOptions(int rank, int size, std::promise<int>& port,
                                        const std::shared_future<int>& told) {
  RankGroup::Options options = {.rank = rank, .size = size};
  options.join_timeout = absl::Seconds(60);
  options.timeout = absl::Seconds(60);
  if (rank == 0) {
    options.on_listening = [&port](int taken) { port.set_value(taken); };
  } else {
    options.port =
        told.wait_for(std::chrono::seconds(60)) == std::future_status::ready ? told.get() : 0;
  }
  return options;
}

// Runs `body` on every rank, each a thread with a group of its own.
inline void OnRanks(int size, const std::function<void(RankGroup& group)>& body) {
  // c10d keeps a record of collectives for the whole process, whose list of groups it fills without
  // a lock (FlightRecorder::record): several groups at a time are for tests only, and crash it.
  ::setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
  std::promise<int> port;
  const std::shared_future<int> told = port.get_future().share();
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      const auto group = RankGroup::Join(ThreadOptions(rank, size, port, told));
      ASSERT_TRUE(group.ok()) << "rank " << rank << ": " << group.status();
      body(**group);
    });
  }
}

}  // namespace atelier::ranks
