#include "bench/load/open_loop.h"

#include <atomic>
#include <iterator>
#include <random>
#include <thread>
#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace atelier::bench {
namespace {

// Of OfferDuring, which looks for its end after each.
constexpr absl::Duration kSlice = absl::Seconds(5);

}  // namespace

std::vector<absl::Duration> DueTimes(const OpenLoop& load) {
  std::mt19937_64 engine(load.seed);
  std::exponential_distribution<double> gap_s(load.rate);
  std::vector<absl::Duration> due;
  for (absl::Duration at = absl::Seconds(gap_s(engine)); at < load.duration;
       at += absl::Seconds(gap_s(engine))) {
    due.push_back(at);
  }
  return due;
}

std::vector<CallRecord> Offer(const OpenLoop& load, const StartCall& start) {
  const std::vector<absl::Duration> due = DueTimes(load);
  std::vector<CallRecord> records(due.size());
  absl::BlockingCounter open(static_cast<int>(due.size()));
  const absl::Time begin = absl::Now();
  for (std::size_t i = 0; i < due.size(); ++i) {
    const absl::Time due_at = begin + due[i];
    absl::SleepFor(due_at - absl::Now());
    const absl::Time started = absl::Now();
    start(i, [&records, &open, i, due_at, started](const absl::Status& status) {
      const absl::Time now = absl::Now();
      records[i] = {.since_due = now - due_at, .latency = now - started, .code = status.code()};
      open.DecrementCount();
    });
  }
  open.Wait();
  return records;
}

std::vector<CallRecord> OfferDuring(double rate, const StartCall& start,
                                    const std::function<void()>& work) {
  std::atomic<bool> stop = false;
  std::vector<CallRecord> all;
  std::thread load([&] {
    for (std::uint64_t seed = 1; !stop; ++seed) {
      const std::vector<CallRecord> records =
          Offer({.rate = rate, .duration = kSlice, .seed = seed}, start);
      all.insert(all.end(), records.begin(), records.end());
    }
  });
  work();
  stop = true;
  load.join();
  return all;
}

std::vector<CallRecord> ClosedLoop(int clients, absl::Duration duration, const StartCall& start) {
  std::vector<std::vector<CallRecord>> of_client(clients);
  std::atomic<std::size_t> next = 0;
  const absl::Time until = absl::Now() + duration;
  std::vector<std::thread> threads;
  for (std::vector<CallRecord>& records : of_client) {
    threads.emplace_back([&records, &next, &start, until] {
      do {
        absl::Notification done;
        CallRecord record;
        const absl::Time started = absl::Now();
        start(next++, [&](const absl::Status& status) {
          record.latency = absl::Now() - started;
          record.since_due = record.latency;
          record.code = status.code();
          done.Notify();
        });
        done.WaitForNotification();
        records.push_back(record);
      } while (absl::Now() < until);
    });
  }
  std::vector<CallRecord> all;
  for (int i = 0; i < clients; ++i) {
    threads[i].join();
    std::move(of_client[i].begin(), of_client[i].end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace atelier::bench
