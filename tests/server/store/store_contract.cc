#include "tests/server/store/store_contract.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "common/status_macros.h"
#include "server/store/proto_time.h"

namespace atelier::server::store {

using testing::ElementsAre;
using testing::IsEmpty;

JobRecord StoreContract::Insert(const std::string& id) {
  JobRecord record;
  record.job.mutable_spec()->set_job_id(id);
  record.job.mutable_spec()->set_output_model("oil");
  record.job.mutable_spec()->mutable_train()->set_learning_rate(2e-4);
  record.job.set_state(v1::JOB_STATE_QUEUED);
  *record.job.mutable_create_time() = MicrosToProto(1'700'000'000'123'456);
  EXPECT_TRUE(store().Write([&](Writer& writer) { return writer.InsertJob(record); }).ok());
  return record;
}

JobRecord StoreContract::Get(const std::string& id) {
  JobRecord record;
  EXPECT_TRUE(store()
                  .Read([&](Reader& reader) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(record, reader.GetJob(id));
                    return absl::OkStatus();
                  })
                  .ok());
  return record;
}

void StoreContract::AppendWarnings(const std::string& id, int count) {
  const absl::Status status = store().Write([&](Writer& writer) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(JobRecord record, writer.GetJob(id));
    for (int i = 0; i < count; ++i) {
      v1::JobEvent event;
      event.mutable_warning()->set_message("a sentence");
      ATELIER_RETURN_IF_ERROR(writer.AppendEvent(record, event));
    }
    return writer.UpdateJob(record);
  });
  EXPECT_TRUE(status.ok()) << status;
}

std::vector<v1::JobEvent> StoreContract::Events(const std::string& id, std::uint64_t from,
                                                std::uint32_t max_events, std::uint64_t max_bytes) {
  std::vector<v1::JobEvent> events;
  EXPECT_TRUE(store()
                  .Read([&](Reader& reader) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(events,
                                             reader.ListEvents(id, from, max_events, max_bytes));
                    return absl::OkStatus();
                  })
                  .ok());
  return events;
}

namespace {

std::vector<std::string> Ids(const std::vector<JobRecord>& records) {
  std::vector<std::string> ids;
  for (const JobRecord& record : records) {
    ids.push_back(record.job.spec().job_id());
  }
  return ids;
}

ModelRecord Model(const std::string& name, std::uint32_t version, const std::string& job_id) {
  return {.name = name,
          .version = version,
          .job_id = job_id,
          .create_time = absl::FromUnixMicros(1'700'000'000'000'001),
          .family = "faststyle",
          .tier = "lite",
          .capabilities = {"strength", "size"},
          .parameters = 143'571,
          .default_precision = "bf16",
          .weights_sha256 = "ab",
          .weights_bytes = 5};
}

TEST_P(StoreContract, AJobComesBackAsItWasWritten) {
  JobRecord written = Insert("oil-1");
  v1::Job& job = written.job;
  job.set_state(v1::JOB_STATE_RUNNING);
  job.set_reason("it's \"quoted\"; DROP TABLE jobs; --");
  job.set_attempts(3);
  job.set_output_version(7);
  job.set_last_sequence(12);
  *job.mutable_start_time() = MicrosToProto(1'700'000'001'000'000);
  *job.mutable_end_time() = MicrosToProto(1'700'000'002'000'000);
  job.mutable_progress()->set_step(5);
  (*job.mutable_progress()->mutable_losses())["style"] = 0.25;
  job.add_warnings("größer als gedacht");
  job.add_warnings("");
  written.fence = 4;
  written.checkpoint_step = 200;
  written.fruitless_attempts = 2;
  written.crashes = 7;
  written.crash_step = 150;
  written.server_deaths = 4;
  written.drained = true;
  written.result_directory = "oil-1/attempts/4/result";
  ASSERT_TRUE(store().Write([&](Writer& writer) { return writer.UpdateJob(written); }).ok());

  const JobRecord read = Get("oil-1");
  EXPECT_EQ(read.job.DebugString(), written.job.DebugString());
  EXPECT_EQ(read.number, written.number);
  EXPECT_EQ(read.fence, 4u);
  EXPECT_EQ(read.checkpoint_step, 200u);
  EXPECT_EQ(read.fruitless_attempts, 2u);
  EXPECT_EQ(read.crashes, 7u);
  EXPECT_EQ(read.crash_step, 150u);
  EXPECT_EQ(read.server_deaths, 4u);
  EXPECT_TRUE(read.drained);
  EXPECT_EQ(read.result_directory, written.result_directory);
}

TEST_P(StoreContract, AnUnknownJobIsNotFound) {
  JobRecord record;
  record.job.mutable_spec()->set_job_id("nobody");
  EXPECT_TRUE(absl::IsNotFound(
      store().Read([](Reader& reader) { return reader.GetJob("nobody").status(); })));
  EXPECT_TRUE(
      absl::IsNotFound(store().Write([&](Writer& writer) { return writer.UpdateJob(record); })));
}

TEST_P(StoreContract, AnIdIsGivenOnce) {
  Insert("oil-1");
  JobRecord again;
  again.job.mutable_spec()->set_job_id("oil-1");
  EXPECT_TRUE(absl::IsAlreadyExists(
      store().Write([&](Writer& writer) { return writer.InsertJob(again); })));
}

TEST_P(StoreContract, JobsAreListedNewestFirstPageByPage) {
  for (const char* id : {"a", "b", "c", "d"}) {
    Insert(id);
  }
  std::vector<JobRecord> first;
  std::vector<JobRecord> second;
  ASSERT_TRUE(store()
                  .Read([&](Reader& reader) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(first, reader.ListJobs(0, 3));
                    ATELIER_ASSIGN_OR_RETURN(second, reader.ListJobs(first.back().number, 3));
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_THAT(Ids(first), ElementsAre("d", "c", "b"));
  EXPECT_THAT(Ids(second), ElementsAre("a"));
}

TEST_P(StoreContract, JobsAreFoundByStateOldestFirstAndCounted) {
  Insert("a");
  Insert("b");
  JobRecord running = Insert("c");
  running.job.set_state(v1::JOB_STATE_RUNNING);
  ASSERT_TRUE(store().Write([&](Writer& writer) { return writer.UpdateJob(running); }).ok());
  ASSERT_TRUE(
      store()
          .Read([&](Reader& reader) -> absl::Status {
            EXPECT_THAT(Ids(*reader.JobsInStates({v1::JOB_STATE_RUNNING, v1::JOB_STATE_QUEUED})),
                        ElementsAre("a", "b", "c"));
            EXPECT_THAT(Ids(*reader.JobsInStates({v1::JOB_STATE_FAILED})), IsEmpty());
            EXPECT_THAT(*reader.CountJobs(), ElementsAre(std::pair(v1::JOB_STATE_QUEUED, 2u),
                                                         std::pair(v1::JOB_STATE_RUNNING, 1u)));
            return absl::OkStatus();
          })
          .ok());
}

TEST_P(StoreContract, EventsAreNumberedWithoutGapsPerJob) {
  Insert("a");
  Insert("b");
  AppendWarnings("a", 3);
  AppendWarnings("b", 1);
  AppendWarnings("a", 2);
  const std::vector<v1::JobEvent> events = Events("a", 2);
  ASSERT_EQ(events.size(), 4u);
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence(), i + 2);
  }
  EXPECT_EQ(Get("a").job.last_sequence(), 5u);
  EXPECT_EQ(Get("b").job.last_sequence(), 1u);
}

TEST_P(StoreContract, EventsAreReadInBoundedPortions) {
  Insert("a");
  AppendWarnings("a", 10);
  EXPECT_EQ(Events("a", 1, 4).size(), 4u);
  EXPECT_EQ(Events("a", 1, 100, 1).size(), 1u);
  EXPECT_THAT(Events("a", 11), IsEmpty());
}

TEST_P(StoreContract, OnlyTheNewestEventsAreKept) {
  Insert("a");
  AppendWarnings("a", static_cast<int>(kKeptEvents) + 5);
  const std::vector<v1::JobEvent> events = Events("a", 1);
  ASSERT_EQ(events.size(), kKeptEvents);
  EXPECT_EQ(events.front().sequence(), 6u);
  EXPECT_EQ(events.back().sequence(), kKeptEvents + 5);
}

TEST_P(StoreContract, ADeletedJobTakesItsEventsAlongAndItsNumberIsNotGivenAgain) {
  Insert("a");
  const std::uint64_t number = Insert("b").number;
  AppendWarnings("a", 2);
  AppendWarnings("b", 3);
  const auto remove = [this] {
    return store().Write([](Writer& writer) { return writer.DeleteJob("b"); });
  };
  ASSERT_TRUE(remove().ok());
  EXPECT_TRUE(absl::IsNotFound(remove()));
  EXPECT_THAT(Events("b", 1), IsEmpty());
  EXPECT_EQ(Events("a", 1).size(), 2u);
  EXPECT_GT(Insert("b").number, number);
  EXPECT_EQ(Get("b").job.last_sequence(), 0u);
  EXPECT_THAT(Events("b", 1), IsEmpty()) << "of the one before";
}

TEST_P(StoreContract, AnyVersionOfAJobIsFoundAlsoADeletedOne) {
  const absl::Status status = store().Write([](Writer& writer) -> absl::Status {
    ModelRecord record = Model("oil", 2, "job-1");
    record.job_step = 100;
    ATELIER_RETURN_IF_ERROR(writer.InsertModel(record));
    ATELIER_RETURN_IF_ERROR(writer.MarkModelDeleted("oil", 2));
    EXPECT_EQ(writer.FindAnyModelOfJob("job-1")->value().version, 2u);
    EXPECT_FALSE(writer.FindModelOfJob("job-1")->has_value());
    EXPECT_FALSE(writer.FindAnyModelOfJob("job-2")->has_value());
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST_P(StoreContract, AFailedWriteLeavesNothingBehind) {
  Insert("a");
  const absl::Status status = store().Write([&](Writer& writer) -> absl::Status {
    JobRecord record;
    record.job.mutable_spec()->set_job_id("b");
    EXPECT_TRUE(writer.InsertJob(record).ok());
    EXPECT_TRUE(writer.InsertModel(Model("oil", 1, "b")).ok());
    return absl::AbortedError("changed my mind");
  });
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_TRUE(
      absl::IsNotFound(store().Read([](Reader& reader) { return reader.GetJob("b").status(); })));
  Insert("b");  // and the store goes on
}

TEST_P(StoreContract, AReaderSeesOneMomentAndWhatWasWrittenBefore) {
  Insert("a");
  const absl::Status status = store().Read([&](Reader& reader) -> absl::Status {
    EXPECT_EQ(reader.ListJobs(0, 10)->size(), 1u);
    Insert("b");
    EXPECT_EQ(reader.ListJobs(0, 10)->size(), 1u);
    return absl::OkStatus();
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(Get("b").job.spec().job_id(), "b");
}

TEST_P(StoreContract, ModelsComeBackSortedAndByJob) {
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    ATELIER_RETURN_IF_ERROR(writer.InsertModel(Model("oil", 10, "job-2")));
                    ATELIER_RETURN_IF_ERROR(writer.InsertModel(Model("oil", 9, "")));
                    return writer.InsertModel(Model("ink", 1, ""));
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Read([](Reader& reader) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(const auto models, reader.ListModels());
                    EXPECT_EQ(models.size(), 3u);
                    EXPECT_EQ(models[0].name, "ink");
                    EXPECT_EQ(models[1].version, 9u);
                    const ModelRecord& model = models[2];
                    EXPECT_EQ(model.version, 10u);
                    EXPECT_EQ(model.job_id, "job-2");
                    EXPECT_EQ(model.create_time, absl::FromUnixMicros(1'700'000'000'000'001));
                    EXPECT_THAT(model.capabilities, ElementsAre("strength", "size"));
                    EXPECT_EQ(model.parameters, 143'571u);
                    EXPECT_EQ(model.default_precision, "bf16");
                    EXPECT_EQ(reader.FindModelOfJob("job-2")->value().version, 10u);
                    EXPECT_FALSE(reader.FindModelOfJob("job-3")->has_value());
                    EXPECT_FALSE(reader.FindModelOfJob("")->has_value());
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(StoreContract, AVersionAndAJobNameOneModel) {
  const auto insert = [this](const ModelRecord& record) {
    return store().Write([&](Writer& writer) { return writer.InsertModel(record); });
  };
  ASSERT_TRUE(insert(Model("oil", 1, "job-1")).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(insert(Model("oil", 1, "job-2"))));
  EXPECT_TRUE(absl::IsAlreadyExists(insert(Model("oil", 2, "job-1"))));
  EXPECT_TRUE(insert(Model("oil", 2, "")).ok());
  EXPECT_TRUE(insert(Model("oil", 3, "")).ok());
}

TEST_P(StoreContract, ALabelPointsAtOneVersion) {
  for (const std::uint32_t version : {1u, 4u}) {
    ASSERT_TRUE(
        store()
            .Write([&](Writer& writer) { return writer.SetLabel({"oil", "stable", version}); })
            .ok());
  }
  ASSERT_TRUE(store()
                  .Read([](Reader& reader) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(const auto labels, reader.ListLabels());
                    EXPECT_EQ(labels.size(), 1u);
                    EXPECT_EQ(labels[0].version, 4u);
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(StoreContract, ALabelHasItsShareAndCanBeTakenAway) {
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    ATELIER_RETURN_IF_ERROR(writer.SetLabel({"oil", "canary", 4, 0.125}));
                    ATELIER_RETURN_IF_ERROR(writer.SetLabel({"oil", "stable", 3}));
                    ATELIER_RETURN_IF_ERROR(writer.SetLabel({"ink", "canary", 1, 0.5}));
                    ATELIER_RETURN_IF_ERROR(writer.RemoveLabel("ink", "canary"));
                    return writer.RemoveLabel("ink", "canary");
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(const auto labels, writer.ListLabels());
                    EXPECT_EQ(labels.size(), 2u);
                    EXPECT_EQ(labels[0].label, "canary");
                    EXPECT_EQ(labels[0].version, 4u);
                    EXPECT_EQ(labels[0].traffic, 0.125);
                    EXPECT_EQ(labels[1].traffic, 0.0);
                    return writer.SetLabel({"oil", "canary", 5});
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Read([](Reader& reader) -> absl::Status {
                    EXPECT_EQ(reader.ListLabels()->front().traffic, 0.0);
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(StoreContract, ADeletedVersionKeepsItsNumberAndItsJob) {
  const auto remove = [this](std::uint32_t version) {
    return store().Write([&](Writer& writer) { return writer.MarkModelDeleted("oil", version); });
  };
  ASSERT_TRUE(
      store()
          .Write([](Writer& writer) { return writer.InsertModel(Model("oil", 1, "job-1")); })
          .ok());
  EXPECT_TRUE(absl::IsNotFound(remove(2)));
  EXPECT_TRUE(remove(1).ok());
  EXPECT_TRUE(remove(1).ok());
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(const auto models, writer.ListModels());
                    EXPECT_EQ(models.size(), 1u);
                    EXPECT_TRUE(models[0].deleted);
                    EXPECT_TRUE(writer.FindModelOfJob("job-1")->has_value());
                    EXPECT_TRUE(absl::IsAlreadyExists(writer.InsertModel(Model("oil", 1, ""))));
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(StoreContract, WhatIsKeptComesBackWithItsSizes) {
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    ATELIER_RETURN_IF_ERROR(writer.SetKept({"oil", 2, {512}}));
                    ATELIER_RETURN_IF_ERROR(writer.SetKept({"oil", 2, {256, 1024}}));
                    ATELIER_RETURN_IF_ERROR(writer.SetKept({"ink", 1, {}}));
                    ATELIER_RETURN_IF_ERROR(writer.SetKept({"ink", 3, {16}}));
                    ATELIER_RETURN_IF_ERROR(writer.RemoveKept("ink", 3));
                    return writer.RemoveKept("ink", 3);
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Read([](Reader& reader) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(const auto kept, reader.ListKept());
                    EXPECT_EQ(kept.size(), 2u);
                    EXPECT_EQ(kept[0].name, "ink");
                    EXPECT_EQ(kept[0].version, 1u);
                    EXPECT_THAT(kept[0].warmup_sizes, IsEmpty());
                    EXPECT_THAT(kept[1].warmup_sizes, ElementsAre(256u, 1024u));
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(StoreContract, AJobHasOneResultAndAVersionForEachNameAndCheckpoint) {
  const auto insert = [this](const std::string& name, std::uint32_t version, std::uint64_t step) {
    return store().Write([&](Writer& writer) {
      ModelRecord record = Model(name, version, "job-1");
      record.job_step = step;
      return writer.InsertModel(record);
    });
  };
  ASSERT_TRUE(insert("oil", 1, 0).ok());
  EXPECT_TRUE(insert("oil", 2, 100).ok());
  EXPECT_TRUE(insert("oil", 3, 200).ok());
  EXPECT_TRUE(insert("ink", 1, 100).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(insert("ink", 2, 0))) << "another result";
  EXPECT_TRUE(absl::IsAlreadyExists(insert("oil", 4, 100)));
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    EXPECT_EQ(writer.FindModelOfJob("job-1")->value().version, 1u);
                    const auto of_step = writer.FindModelOfCheckpoint("oil", "job-1", 100);
                    EXPECT_EQ(of_step->value().version, 2u);
                    EXPECT_EQ(of_step->value().job_step, 100u);
                    EXPECT_FALSE(writer.FindModelOfCheckpoint("ink", "job-1", 200)->has_value());
                    return writer.MarkModelDeleted("oil", 2);
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Read([](Reader& reader) -> absl::Status {
                    EXPECT_FALSE(reader.FindModelOfCheckpoint("oil", "job-1", 100)->has_value());
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_TRUE(insert("oil", 4, 100).ok()) << "its version was deleted";
}

RatingRecord Rating(const std::string& id, std::uint32_t version, std::uint32_t score,
                    const std::string& note = "") {
  return {.request_id = id,
          .name = "oil",
          .version = version,
          .score = score,
          .note = note,
          .time = absl::FromUnixSeconds(1000)};
}

TEST_P(StoreContract, ARequestHasOneRating) {
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    for (RatingRecord record :
                         {Rating("a", 1, 5, "good"), Rating("b", 1, 2), Rating("c", 2, 1, "bad"),
                          Rating("a", 1, 3, "so so")}) {
                      ATELIER_RETURN_IF_ERROR(writer.PutRating(record));
                    }
                    return absl::OkStatus();
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Read([](Reader& reader) -> absl::Status {
                    ATELIER_ASSIGN_OR_RETURN(const auto found, reader.FindRating("a"));
                    EXPECT_EQ(found->score, 3u);
                    EXPECT_EQ(found->note, "so so");
                    EXPECT_EQ(found->time, absl::FromUnixSeconds(1000));
                    EXPECT_FALSE(reader.FindRating("z")->has_value());
                    ATELIER_ASSIGN_OR_RETURN(const auto all, reader.ListRatings("oil", 1, 0, 10));
                    EXPECT_EQ(all.size(), 2u);
                    EXPECT_EQ(all[0].request_id, "a") << "the newest first";
                    ATELIER_ASSIGN_OR_RETURN(const auto older,
                                             reader.ListRatings("oil", 1, all[0].number, 10));
                    EXPECT_EQ(older.size(), 1u);
                    ATELIER_ASSIGN_OR_RETURN(const auto totals, reader.SumRatings("oil", 1, 5));
                    EXPECT_EQ(totals.count(), 2u);
                    EXPECT_EQ(totals.mean(), 2.5);
                    EXPECT_THAT(totals.notes, ElementsAre("so so"));
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(StoreContract, RatingsCanBeRemovedAndTheOldestFallOut) {
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    for (std::uint64_t i = 0; i < kKeptRatings + 3; ++i) {
                      RatingRecord record = Rating(std::to_string(i), 1, 4);
                      ATELIER_RETURN_IF_ERROR(writer.PutRating(record));
                    }
                    RatingRecord other = Rating("other", 2, 4);
                    return writer.PutRating(other);
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Write([](Writer& writer) -> absl::Status {
                    EXPECT_EQ(writer.SumRatings("oil", 1, 5)->count(), kKeptRatings);
                    EXPECT_FALSE(writer.FindRating("2")->has_value());
                    EXPECT_TRUE(writer.FindRating("3")->has_value());
                    return writer.RemoveRatings("oil", 1);
                  })
                  .ok());
  ASSERT_TRUE(store()
                  .Read([](Reader& reader) -> absl::Status {
                    EXPECT_EQ(reader.SumRatings("oil", 1, 5)->count(), 0u);
                    EXPECT_EQ(reader.SumRatings("oil", 1, 5)->mean(), 0);
                    EXPECT_EQ(reader.SumRatings("oil", 2, 5)->count(), 1u);
                    return absl::OkStatus();
                  })
                  .ok());
}

TEST_P(StoreContract, ManyThreadsReadAndWriteAtOnce) {
  Insert("a");
  constexpr int kThreads = 4;
  constexpr int kRounds = 10;
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        AppendWarnings("a", 1);
        failures += Events("a", 1).empty() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(Get("a").job.last_sequence(), std::uint64_t{kThreads} * kRounds);
}

}  // namespace
}  // namespace atelier::server::store
