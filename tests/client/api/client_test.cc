#include "client/api/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/errors.h"
#include "tests/client/fake_server.h"

namespace atelier::client {
namespace {

using ::atelier::test::FakeServer;
using ::atelier::test::ProgressEvent;
using ::atelier::test::StateEvent;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Nothing listens there: port 1 is privileged and unused.
constexpr char kNobody[] = "127.0.0.1:1";

class ClientTest : public ::testing::Test {
 protected:
  std::unique_ptr<Client> Connect() { return Connect({}); }
  std::unique_ptr<Client> Connect(Client::Options options) {
    options.server = server_.address();
    options.watch_patience = absl::Milliseconds(300);
    options.watch_backoff_first = absl::Milliseconds(5);
    options.watch_backoff_last = absl::Milliseconds(20);
    auto client = Client::Create(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // Watches job "oil" from the beginning and returns the sequence numbers that were told.
  std::vector<std::uint64_t> Watch(absl::Status& status, const Client::Options& options = {}) {
    v1::WatchJobRequest request;
    request.set_job_id("oil");
    std::vector<std::uint64_t> told;
    status = Connect(options)->WatchJob(request, [&told](const v1::JobEvent& event) {
      told.push_back(event.sequence());
      return true;
    });
    return told;
  }

  // Outlive the server, which may begin a call after its client has given up.
  absl::Notification over_;
  std::atomic<int> streams_{0};
  std::atomic<int> asked_{0};
  FakeServer server_;
};

TEST_F(ClientTest, StylizeSendsTheRequestAndReturnsTheResponse) {
  server_.handlers().stylize = [](const v1::StylizeRequest& request) {
    v1::StylizeResponse response;
    response.set_model(request.model());
    response.add_results()->set_image(request.image());
    return response;
  };
  v1::StylizeRequest request;
  request.set_model("van-gogh");
  // Far above gRPC's default limit of 4 MiB.
  request.set_image(std::string(32 << 20, 'x'));
  const auto response = Connect()->Stylize(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->model(), "van-gogh");
  EXPECT_EQ(response->results(0).image().size(), 32u << 20);
}

TEST_F(ClientTest, ErrorsCarryTheirFacts) {
  server_.handlers().stylize = [](const v1::StylizeRequest&) {
    return InvalidField("strength", "must be 0 to 1");
  };
  server_.handlers().create_job = [](const v1::CreateJobRequest&) {
    return RetryLater(absl::Milliseconds(1500), "too many jobs wait");
  };
  const absl::Status invalid = Connect()->Stylize({}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(invalid));
  EXPECT_EQ(invalid.message(), "strength: must be 0 to 1");
  EXPECT_EQ(FieldOf(invalid), "strength");
  const absl::Status full = Connect()->CreateJob({}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_EQ(RetryDelayOf(full), absl::Milliseconds(1500));
}

TEST_F(ClientTest, StylizeEndsAtItsDeadline) {
  // Shared: on a busy machine the server may begin with the call when the test has ended.
  const auto give_up = std::make_shared<absl::Notification>();
  server_.handlers().stylize = [give_up](const v1::StylizeRequest&) {
    give_up->WaitForNotification();
    return v1::StylizeResponse();
  };
  const absl::Status status = Connect()->Stylize({}, absl::Milliseconds(100)).status();
  give_up->Notify();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("within 100ms"));
}

TEST_F(ClientTest, ListsAreJoinedFromAllPages) {
  server_.handlers().list_models = [](const v1::ListModelsRequest& request) {
    v1::ListModelsResponse response;
    response.add_models()->set_name(request.page_token().empty() ? "a" : request.page_token());
    if (request.page_token() != "c") {
      response.set_next_page_token(request.page_token().empty() ? "b" : "c");
    }
    return response;
  };
  const auto all = Connect()->ListAllModels();
  ASSERT_TRUE(all.ok()) << all.status();
  std::vector<std::string> names;
  for (const v1::Model& model : all->models()) {
    names.push_back(model.name());
  }
  EXPECT_THAT(names, ElementsAre("a", "b", "c"));
  EXPECT_EQ(all->next_page_token(), "");
}

TEST_F(ClientTest, AListThatNeverEndsIsAnError) {
  server_.handlers().list_jobs = [](const v1::ListJobsRequest&) {
    v1::ListJobsResponse response;
    response.set_next_page_token("again");
    return response;
  };
  EXPECT_TRUE(absl::IsInternal(Connect()->ListAllJobs().status()));
}

TEST(ClientAddressTest, AServerThatIsNotThereIsNamed) {
  Client::Options options;
  options.server = kNobody;
  const auto client = Client::Create(options);
  ASSERT_TRUE(client.ok());
  const absl::Status status = (*client)->ListAllModels().status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr(kNobody));
}

TEST(ClientAddressTest, AnAddressWithoutPortIsRefused) {
  Client::Options options;
  options.server = "nowhere";
  EXPECT_EQ(FieldOf(Client::Create(options).status()), "server");
}

TEST_F(ClientTest, WatchTellsEveryEventAndEndsWithTheFinalState) {
  server_.handlers().watch_job = [](const v1::WatchJobRequest&, const auto& write) {
    write(StateEvent(1, v1::JOB_STATE_RUNNING));
    write(ProgressEvent(2, 5, 10));
    write(StateEvent(3, v1::JOB_STATE_SUCCEEDED));
    return absl::OkStatus();
  };
  absl::Status status;
  EXPECT_THAT(Watch(status), ElementsAre(1, 2, 3));
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ClientTest, WatchGoesOnBehindTheLastEventWhenTheServerComesBack) {
  absl::Mutex mutex;
  std::vector<std::uint64_t> asked;
  server_.handlers().watch_job = [&](const v1::WatchJobRequest& request, const auto& write) {
    const absl::MutexLock lock(&mutex);
    asked.push_back(request.from_sequence());
    if (asked.size() == 1) {
      write(StateEvent(1, v1::JOB_STATE_RUNNING));
      write(ProgressEvent(2, 5, 10));
      return absl::UnavailableError("draining");
    }
    if (asked.size() < 4) {
      return absl::UnavailableError("draining");
    }
    write(StateEvent(3, v1::JOB_STATE_FAILED, "no disk"));
    return absl::OkStatus();
  };
  absl::Status status;
  EXPECT_THAT(Watch(status), ElementsAre(1, 2, 3));
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(asked, ElementsAre(0, 3, 3, 3));
}

TEST_F(ClientTest, AStreamThatIsCutEveryFewEventsTellsEachOnceAndInOrder) {
  constexpr std::uint64_t kEvents = 100;
  std::atomic<int> streams{0};
  // Cut in every way that there is: by a server that drains, by one that ends the stream as if all
  // was said, by something between the two; and sometimes it begins again with events of before.
  server_.handlers().watch_job = [&](const v1::WatchJobRequest& request, const auto& write) {
    const int stream = streams++;
    std::uint64_t sequence = std::max<std::uint64_t>(request.from_sequence(), 1);
    sequence -= sequence > 2 && stream % 4 == 3 ? 2 : 0;
    for (int i = 0; i < 7 && sequence < kEvents; ++i) {
      write(ProgressEvent(sequence++, 1, 10));
    }
    if (sequence == kEvents) {
      write(StateEvent(sequence, v1::JOB_STATE_SUCCEEDED));
      return absl::OkStatus();
    }
    return stream % 2 == 0 ? absl::UnavailableError("draining") : absl::OkStatus();
  };
  absl::Status status;
  const std::vector<std::uint64_t> told = Watch(status);
  EXPECT_TRUE(status.ok()) << status;
  ASSERT_EQ(told.size(), kEvents);
  for (std::uint64_t i = 0; i < kEvents; ++i) {
    EXPECT_EQ(told[i], i + 1);
  }
  EXPECT_GT(streams, 14);
}

TEST_F(ClientTest, AStreamThatEndsTooEarlyForEverIsAnError) {
  server_.handlers().watch_job = [](const v1::WatchJobRequest&, const auto&) {
    return absl::OkStatus();
  };
  absl::Status status;
  EXPECT_THAT(Watch(status), ElementsAre());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(ClientTest, ArtifactsAreJoinedFromAllPages) {
  server_.handlers().list_artifacts = [](const v1::ListArtifactsRequest& request) {
    v1::ListArtifactsResponse response;
    response.add_artifacts()->set_path(request.job_id() + (request.all_attempts() ? "+" : "-") +
                                       request.page_token());
    if (request.page_token().empty()) {
      response.set_next_page_token("b");
    }
    return response;
  };
  const auto all = Connect()->ListAllArtifacts("oil", /*all_attempts=*/true);
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->artifacts_size(), 2);
  EXPECT_EQ(all->artifacts(1).path(), "oil+b");
}

TEST_F(ClientTest, WatchGivesUpWhenTheServerStaysAway) {
  std::atomic<int> tries{0};
  server_.handlers().watch_job = [&](const v1::WatchJobRequest&, const auto&) {
    ++tries;
    return absl::UnavailableError("draining");
  };
  absl::Status status;
  EXPECT_THAT(Watch(status), ElementsAre());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_GT(tries, 2);
}

TEST_F(ClientTest, WatchGivesUpOnAServerThatSaysNothingAnyMore) {
  // As behind a router that drops all: streams and calls come to no end of their own.
  server_.handlers().watch_job = [this](const v1::WatchJobRequest&, const auto& write) {
    if (streams_++ == 0) {
      write(StateEvent(1, v1::JOB_STATE_RUNNING));
    }
    over_.WaitForNotification();
    return absl::OkStatus();
  };
  server_.handlers().get_job = [this](const v1::GetJobRequest&) {
    ++asked_;
    over_.WaitForNotification();
    return v1::Job();
  };
  Client::Options options;
  options.watch_stream_deadline = absl::Seconds(1);
  options.call_deadline = absl::Milliseconds(50);
  absl::Status status;
  EXPECT_THAT(Watch(status, options), ElementsAre(1));
  over_.Notify();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no answer from " + server_.address()));
  EXPECT_EQ(streams_, 1) << "nobody is watched who does not answer";
  EXPECT_GT(asked_, 1) << "there is patience for a while";
}

TEST_F(ClientTest, WatchGoesOnWithAJobThatHasNothingToTell) {
  server_.handlers().watch_job = [this](const v1::WatchJobRequest&, const auto& write) {
    if (++streams_ < 4) {
      over_.WaitForNotification();
      return absl::OkStatus();
    }
    write(StateEvent(1, v1::JOB_STATE_SUCCEEDED));
    return absl::OkStatus();
  };
  server_.handlers().get_job = [this](const v1::GetJobRequest& request) -> absl::StatusOr<v1::Job> {
    EXPECT_EQ(request.job_id(), "oil");
    // An error is an answer, too.
    return ++asked_ == 1 ? absl::StatusOr<v1::Job>(v1::Job()) : absl::InternalError("no disk");
  };
  Client::Options options;
  options.watch_stream_deadline = absl::Milliseconds(200);
  absl::Status status;
  EXPECT_THAT(Watch(status, options), ElementsAre(1));
  over_.Notify();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GE(asked_, 3);
}

TEST_F(ClientTest, WatchDoesNotRetryOtherErrors) {
  std::atomic<int> tries{0};
  server_.handlers().watch_job = [&](const v1::WatchJobRequest&, const auto&) {
    ++tries;
    return NotFoundResource("job", "oil", "there is no job \"oil\"");
  };
  absl::Status status;
  Watch(status);
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(ResourceOf(status)->name, "oil");
  EXPECT_EQ(tries, 1);
}

// Streams are replaced now and then; others may take the place in between.
TEST_F(ClientTest, AWatchThatLosesItsPlaceWaitsForOneAndAFirstOneIsRefused) {
  std::atomic<int> tries{0};
  server_.handlers().watch_job = [&](const v1::WatchJobRequest& request,
                                     const auto& write) -> absl::Status {
    switch (++tries) {
      case 1:
        write(ProgressEvent(1, 1, 10));
        return absl::UnavailableError("cut");
      case 2:
        return RetryLater(absl::Seconds(10), "1000 jobs are watched already");
      default:
        EXPECT_EQ(request.from_sequence(), 2u);
        write(StateEvent(2, v1::JOB_STATE_SUCCEEDED));
        return absl::OkStatus();
    }
  };
  absl::Status status;
  EXPECT_THAT(Watch(status), ElementsAre(1, 2));
  EXPECT_TRUE(status.ok()) << status;
  tries = 1;
  EXPECT_THAT(Watch(status), ElementsAre());
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(tries, 2);
}

TEST_F(ClientTest, WatchEndsWhenTheCallerHasSeenEnough) {
  server_.handlers().watch_job = [](const v1::WatchJobRequest&, const auto& write) {
    // Endless: ends only because the watcher goes.
    for (std::uint64_t sequence = 1; write(ProgressEvent(sequence, 1, 10)); ++sequence) {
    }
    return absl::OkStatus();
  };
  int told = 0;
  const absl::Status status =
      Connect()->WatchJob({}, [&told](const v1::JobEvent&) { return ++told < 3; });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(told, 3);
}

}  // namespace
}  // namespace atelier::client
