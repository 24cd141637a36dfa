#include "server/store/sqlite/sqlite_store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "server/store/sqlite/migrations.h"
#include "tests/server/store/store_contract.h"
#include "tests/support/temp_dir.h"

namespace atelier::server::store {
namespace {

class SqliteFixture final : public StoreFixture {
 public:
  SqliteFixture() : store_(*SqliteStore::Open({.path = folder_ / "atelier.db"})) {}
  Store& store() override { return *store_; }

 private:
  test::TempDir folder_;
  std::unique_ptr<SqliteStore> store_;
};

std::unique_ptr<StoreFixture> MakeSqlite() { return std::make_unique<SqliteFixture>(); }

INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(&MakeSqlite));

absl::Status InsertJob(Store& store, const std::string& id, std::size_t spec_bytes = 0) {
  return store.Write([&](Writer& writer) {
    JobRecord record;
    record.job.mutable_spec()->set_job_id(id);
    record.job.mutable_spec()->set_output_model(std::string(spec_bytes, 'x'));
    record.job.set_state(v1::JOB_STATE_QUEUED);
    return writer.InsertJob(record);
  });
}

absl::Status FindJob(Store& store, const std::string& id) {
  return store.Read([&](Reader& reader) { return reader.GetJob(id).status(); });
}

class SqliteStoreTest : public testing::Test {
 protected:
  SqliteStore::Options Options() const { return {.path = folder_ / "atelier.db"}; }

  test::TempDir folder_;
};

TEST_F(SqliteStoreTest, WhatWasWrittenIsThereAfterReopening) {
  {
    const auto store = *SqliteStore::Open(Options());
    ASSERT_TRUE(InsertJob(*store, "a").ok());
  }
  const auto store = *SqliteStore::Open(Options());
  EXPECT_TRUE(FindJob(*store, "a").ok());
}

// Writes jobs until it is killed, and tells each one that is committed through the pipe.
[[noreturn]] void WriteUntilKilled(const SqliteStore::Options& options, int pipe) {
  const auto store = *SqliteStore::Open(options);
  for (char i = 0;; ++i) {
    if (!InsertJob(*store, "job-" + std::to_string(i)).ok() || ::write(pipe, &i, 1) != 1) {
      ::_exit(1);
    }
  }
}

TEST_F(SqliteStoreTest, AKillLosesNothingThatWasCommitted) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    WriteUntilKilled(Options(), pipe[1]);
  }
  ::close(pipe[1]);
  char last = -1;
  while (last < 20 && ::read(pipe[0], &last, 1) == 1) {
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  while (::read(pipe[0], &last, 1) == 1) {
  }
  ::close(pipe[0]);
  ASSERT_GE(last, 20);

  const auto store = *SqliteStore::Open(Options());
  for (int i = 0; i <= last; ++i) {
    EXPECT_TRUE(FindJob(*store, "job-" + std::to_string(i)).ok()) << i;
  }
  EXPECT_TRUE(InsertJob(*store, "afterwards").ok());
}

TEST_F(SqliteStoreTest, AFullDatabaseRefusesTheWriteAndKeepsTheRest) {
  SqliteStore::Options options = Options();
  options.max_bytes = 256 << 10;
  const auto store = *SqliteStore::Open(options);
  ASSERT_TRUE(InsertJob(*store, "small").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(InsertJob(*store, "large", 1 << 20)));
  EXPECT_TRUE(FindJob(*store, "small").ok());
  EXPECT_TRUE(absl::IsNotFound(FindJob(*store, "large")));
  EXPECT_TRUE(InsertJob(*store, "small-too").ok());
}

TEST_F(SqliteStoreTest, ADatabaseOfANewerProgramIsRefused) {
  {
    const auto connection = *SqliteConnection::Open({.path = Options().path});
    ASSERT_TRUE(Migrate(*connection, LatestLayout()).ok());
    ASSERT_TRUE(connection->Execute("INSERT INTO migrations VALUES (999, 0)").ok());
  }
  const absl::Status status = SqliteStore::Open(Options()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_NE(std::string(status.message()).find("newer"), std::string::npos);
}

TEST_F(SqliteStoreTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::ofstream(Options().path) << std::string(8192, 'x');
  EXPECT_TRUE(absl::IsDataLoss(SqliteStore::Open(Options()).status()));
}

// The rows that a program with layout 1 could have left.
TEST_F(SqliteStoreTest, LayoutOneMigratesWithItsJobs) {
  {
    const auto connection = *SqliteConnection::Open({.path = Options().path});
    ASSERT_TRUE(Migrate(*connection, 1).ok());
    v1::JobSpec spec;
    spec.set_job_id("old");
    SqliteStatement statement = connection->Prepare(
        "INSERT INTO jobs VALUES (5, 'old', ?, 3, '', 2, 2, 1, 2, NULL, NULL, 0, 1, "
        "'[\"careful\"]', 100, 1, '')");
    statement.BindBlob(1, spec.SerializeAsString());
    ASSERT_TRUE(statement.Run().ok());
    ASSERT_TRUE(connection->Execute("INSERT INTO job_events VALUES ('old', 1, 2, x'0801')").ok());
  }
  const auto store = *SqliteStore::Open(Options());
  const absl::Status status = store->Write([](Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const JobRecord record, writer.GetJob("old"));
    EXPECT_EQ(record.number, 5u);
    EXPECT_EQ(record.job.state(), v1::JOB_STATE_RUNNING);
    EXPECT_EQ(record.job.warnings(0), "careful");
    EXPECT_EQ(record.checkpoint_step, 100u);
    ATELIER_ASSIGN_OR_RETURN(const auto events, writer.ListEvents("old", 1, 10, 1000));
    EXPECT_EQ(events.size(), 1u);
    // And the tables of later layouts are there.
    return writer.SetLabel({"oil", "stable", 1});
  });
  EXPECT_TRUE(status.ok()) << status;
}

// The rows that a program with layout 2 could have left.
TEST_F(SqliteStoreTest, LayoutTwoMigratesWithItsModelsAndLabels) {
  {
    const auto connection = *SqliteConnection::Open({.path = Options().path});
    ASSERT_TRUE(Migrate(*connection, 2).ok());
    ASSERT_TRUE(connection
                    ->Execute("INSERT INTO models VALUES ('oil', 3, 'job-1', 1000000, 'faststyle', "
                              "'lite', 'strength size', 42, 'fp32', 'ab', 5)")
                    .ok());
    ASSERT_TRUE(connection->Execute("INSERT INTO labels VALUES ('oil', 'stable', 3)").ok());
  }
  const auto store = *SqliteStore::Open(Options());
  const absl::Status status = store->Write([](Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const auto models, writer.ListModels());
    EXPECT_EQ(models.size(), 1u);
    EXPECT_EQ(models[0].job_id, "job-1");
    EXPECT_EQ(models[0].parameters, 42u);
    EXPECT_FALSE(models[0].deleted);
    ATELIER_ASSIGN_OR_RETURN(const auto labels, writer.ListLabels());
    EXPECT_EQ(labels.size(), 1u);
    EXPECT_EQ(labels[0].version, 3u);
    EXPECT_EQ(labels[0].traffic, 0.0);
    ATELIER_ASSIGN_OR_RETURN(const auto kept, writer.ListKept());
    EXPECT_TRUE(kept.empty());
    return writer.MarkModelDeleted("oil", 3);
  });
  EXPECT_TRUE(status.ok()) << status;
}

// The rows that a program with layout 3 could have left.
TEST_F(SqliteStoreTest, LayoutThreeMigratesWithItsJobsAndKeptModels) {
  {
    const auto connection = *SqliteConnection::Open({.path = Options().path});
    ASSERT_TRUE(Migrate(*connection, 3).ok());
    v1::JobSpec spec;
    spec.set_job_id("old");
    SqliteStatement statement = connection->Prepare(
        "INSERT INTO jobs VALUES (5, 'old', ?, 1, '', 2, 2, 1, 2, NULL, NULL, 0, 1, '[]', 100, 1, "
        "'')");
    statement.BindBlob(1, spec.SerializeAsString());
    ASSERT_TRUE(statement.Run().ok());
    ASSERT_TRUE(connection->Execute("INSERT INTO kept_models VALUES ('oil', 2, '256')").ok());
  }
  const auto store = *SqliteStore::Open(Options());
  const absl::Status status = store->Write([](Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(JobRecord record, writer.GetJob("old"));
    EXPECT_EQ(record.checkpoint_step, 100u);
    EXPECT_EQ(record.fruitless_attempts, 1u);
    EXPECT_EQ(record.crashes, 0u);
    EXPECT_EQ(record.crash_step, 0u);
    ATELIER_ASSIGN_OR_RETURN(const auto kept, writer.ListKept());
    EXPECT_EQ(kept.size(), 1u);
    record.crashes = 3;
    return writer.UpdateJob(record);
  });
  EXPECT_TRUE(status.ok()) << status;
}

// The rows that a program with layout 3 could have left.
TEST_F(SqliteStoreTest, LayoutThreeMigratesWithItsModelsAndTakesCheckpointsOfTheirJobs) {
  {
    const auto connection = *SqliteConnection::Open({.path = Options().path});
    ASSERT_TRUE(Migrate(*connection, 3).ok());
    ASSERT_TRUE(connection
                    ->Execute("INSERT INTO models VALUES ('oil', 3, 'job-1', 1000000, 'faststyle', "
                              "'lite', 'strength size', 42, 'fp32', 'ab', 5, 1), "
                              "('oil', 4, NULL, 1000000, 'cut', '', '', 7, 'fp32', 'cd', 6, 0), "
                              "('oil', 5, NULL, 1000000, 'cut', '', '', 7, 'fp32', 'cd', 6, 0)")
                    .ok());
    ASSERT_TRUE(connection->Execute("INSERT INTO kept_models VALUES ('oil', 4, '256')").ok());
  }
  const auto store = *SqliteStore::Open(Options());
  const absl::Status status = store->Write([](Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(const auto models, writer.ListModels());
    EXPECT_EQ(models.size(), 3u);
    EXPECT_EQ(models[0].job_id, "job-1");
    EXPECT_EQ(models[0].job_step, 0u);
    EXPECT_EQ(models[0].weights_bytes, 5u);
    EXPECT_TRUE(models[0].deleted);
    EXPECT_EQ(models[1].job_id, "");
    EXPECT_EQ(writer.ListKept()->size(), 1u);
    EXPECT_EQ(writer.FindModelOfJob("job-1")->value().version, 3u);
    ModelRecord record = models[0];
    record.version = 6;
    record.deleted = false;
    EXPECT_TRUE(absl::IsAlreadyExists(writer.InsertModel(record)));
    record.job_step = 100;
    ATELIER_RETURN_IF_ERROR(writer.InsertModel(record));
    RatingRecord rating = {.request_id = "a", .name = "oil", .version = 6, .score = 4};
    return writer.PutRating(rating);
  });
  EXPECT_TRUE(status.ok()) << status;
}

// The rows that a program with layout 5 could have left.
TEST_F(SqliteStoreTest, LayoutFiveMigratesWithItsJobs) {
  {
    const auto connection = *SqliteConnection::Open({.path = Options().path});
    ASSERT_TRUE(Migrate(*connection, 5).ok());
    v1::JobSpec spec;
    spec.set_job_id("old");
    SqliteStatement statement = connection->Prepare(
        "INSERT INTO jobs VALUES (5, 'old', ?, 3, '', 2, 2, 1, 2, NULL, NULL, 0, 1, "
        "'[]', 100, 1, '', 3, 90)");
    statement.BindBlob(1, spec.SerializeAsString());
    ASSERT_TRUE(statement.Run().ok());
  }
  const auto store = *SqliteStore::Open(Options());
  const absl::Status status = store->Write([](Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(JobRecord record, writer.GetJob("old"));
    EXPECT_EQ(record.crashes, 3u);
    EXPECT_EQ(record.crash_step, 90u);
    EXPECT_EQ(record.server_deaths, 0u);
    EXPECT_FALSE(record.drained);
    record.server_deaths = 2;
    return writer.UpdateJob(record);
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(SqliteStoreTest, ReopeningMigratesOnlyOnce) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(SqliteStore::Open(Options()).ok());
  }
  const auto connection = *SqliteConnection::Open({.path = Options().path});
  SqliteStatement statement = connection->Prepare("SELECT count(*) FROM migrations");
  ASSERT_TRUE(*statement.Step());
  EXPECT_EQ(statement.Signed(0), LatestLayout());
}

}  // namespace
}  // namespace atelier::server::store
