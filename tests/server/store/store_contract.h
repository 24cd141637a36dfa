// What every Store does, whatever it is made of. An implementation instantiates the suite with a
// function that opens an empty one:
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(&MakeSqliteFixture));
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "server/store/store.h"

namespace atelier::server::store {

// Owns an empty store and what it needs.
class StoreFixture {
 public:
  virtual ~StoreFixture() = default;
  virtual Store& store() = 0;
};

class StoreContract : public testing::TestWithParam<std::unique_ptr<StoreFixture> (*)()> {
 protected:
  void SetUp() override { fixture_ = GetParam()(); }
  Store& store() { return fixture_->store(); }

  // A QUEUED job in the store.
  JobRecord Insert(const std::string& id);
  JobRecord Get(const std::string& id);
  void AppendWarnings(const std::string& id, int count);
  std::vector<v1::JobEvent> Events(const std::string& id, std::uint64_t from,
                                   std::uint32_t max_events = 100'000,
                                   std::uint64_t max_bytes = 1 << 30);

 private:
  std::unique_ptr<StoreFixture> fixture_;
};

}  // namespace atelier::server::store
