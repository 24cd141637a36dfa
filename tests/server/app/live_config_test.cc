#include "server/app/live_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/app/config_values.h"
#include "server/app/server_config.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class LiveConfigTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& contents) const {
    std::ofstream(folder_ / name) << contents;
  }
  void WriteIdentity(const TlsIdentity& identity) const {
    Write("cert.pem", identity.certificate);
    Write("key.pem", identity.key);
  }

  // Starts with what the file says now.
  void Start(const std::string& json) {
    Write("atelier.json", json);
    const v1::ServerConfig config =
        EffectiveConfig(*ReadConfig(folder_ / "atelier.json"), command_line_);
    if (config.has_tls()) {
      certificates_ = std::make_unique<Certificates>(*ReadCertificates(config.tls(), absl::Now()));
    }
    if (config.has_worker_tls()) {
      worker_certificates_ = std::make_unique<Certificates>(
          *ReadCertificates(config.worker_tls(), absl::Now(), "worker_tls"));
    }
    live_ = std::make_unique<LiveConfig>(LiveConfig::Options{
        .file = folder_ / "atelier.json",
        .command_line = command_line_,
        .config = config,
        .certificates = certificates_.get(),
        .worker_certificates = worker_certificates_.get(),
        .targets = {.limits = [this](const QueueLimits& limits) { limits_.push_back(limits); },
                    .serving = [this](const ServingSettings& all) { serving_.push_back(all); },
                    .cache = [this](std::uint64_t bytes) { cache_.push_back(bytes); },
                    .log_level = [this](const std::string& level) { levels_.push_back(level); }}});
  }

  v1::ReloadConfigResponse Reload(const std::string& json) {
    Write("atelier.json", json);
    const auto reply = live_->Reload();
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.value_or(v1::ReloadConfigResponse());
  }

  void ExpectNothingApplied() const {
    EXPECT_THAT(limits_, IsEmpty());
    EXPECT_THAT(serving_, IsEmpty());
    EXPECT_THAT(cache_, IsEmpty());
    EXPECT_THAT(levels_, IsEmpty());
  }

  test::TempDir folder_;
  v1::ServerConfig command_line_;
  std::vector<QueueLimits> limits_;
  std::vector<ServingSettings> serving_;
  std::vector<std::uint64_t> cache_;
  std::vector<std::string> levels_;
  std::unique_ptr<Certificates> certificates_;
  std::unique_ptr<Certificates> worker_certificates_;
  std::unique_ptr<LiveConfig> live_;
};

TEST_F(LiveConfigTest, NewValuesReachWhoTakesThemAndAreTold) {
  Start("{}");
  const v1::ReloadConfigResponse reply = Reload(
      R"({"limits":{"client_max_waiting":3},"batching":{"max_size":2},
          "response_cache":{"max_mib":5},"log_level":"debug","drain":{"grace_s":4}})");
  EXPECT_THAT(reply.changed(),
              UnorderedElementsAre("limits.client_max_waiting", "batching.max_size",
                                   "response_cache.max_mib", "log_level", "drain.grace_s"));
  EXPECT_THAT(reply.after_restart(), IsEmpty());
  ASSERT_EQ(limits_.size(), 1U);
  EXPECT_EQ(limits_[0].per_client.max_waiting, 3U);
  ASSERT_EQ(serving_.size(), 1U);
  EXPECT_EQ(serving_[0].batching.max_size, 2U);
  EXPECT_THAT(cache_, ElementsAre(5U << 20U));
  EXPECT_THAT(levels_, ElementsAre("debug"));
  EXPECT_EQ(live_->current().drain().grace_s(), 4);
}

TEST_F(LiveConfigTest, TheSameFileAgainChangesNothing) {
  Start(R"({"limits":{"max_waiting":5}})");
  const v1::ReloadConfigResponse reply = Reload(R"({"limits":{"max_waiting":5}})");
  EXPECT_THAT(reply.changed(), IsEmpty());
  EXPECT_THAT(reply.after_restart(), IsEmpty());
  ExpectNothingApplied();
}

TEST_F(LiveConfigTest, AKeyThatIsTakenOutGoesBackToItsDefault) {
  Start(R"({"models":{"oil":{"keep":true,"max_waiting":4}}})");
  const v1::ReloadConfigResponse reply = Reload("{}");
  EXPECT_THAT(reply.changed(), UnorderedElementsAre("models.oil.keep", "models.oil.max_waiting"));
  ASSERT_EQ(serving_.size(), 1U);
  EXPECT_THAT(serving_[0].models, IsEmpty());
  ASSERT_EQ(limits_.size(), 1U) << "models bear on both";
  EXPECT_THAT(limits_[0].max_waiting_of_model, IsEmpty());
}

TEST_F(LiveConfigTest, WhatNeedsARestartIsToldEachTimeAndDoesNotHold) {
  Start(R"({"listen":"127.0.0.1:1"})");
  const std::string json =
      R"({"listen":"127.0.0.1:2","datasets":{"a":"/a"},"identity_model":true})";
  for (int i = 0; i < 2; ++i) {
    const v1::ReloadConfigResponse reply = Reload(json);
    EXPECT_THAT(reply.changed(), IsEmpty());
    EXPECT_THAT(reply.after_restart(),
                UnorderedElementsAre("listen", "datasets.a", "identity_model"));
  }
  EXPECT_EQ(live_->current().listen(), "127.0.0.1:1");
  EXPECT_FALSE(live_->current().identity_model());
  ExpectNothingApplied();
}

TEST_F(LiveConfigTest, TheCommandLineStillGoesBeforeTheFile) {
  command_line_.mutable_limits()->set_max_waiting(9);
  Start("{}");
  const v1::ReloadConfigResponse reply = Reload(R"({"limits":{"max_waiting":5}})");
  EXPECT_THAT(reply.changed(), IsEmpty());
  EXPECT_EQ(live_->current().limits().max_waiting(), 9U);
}

TEST_F(LiveConfigTest, AWrongFileLeavesEverythingAsItWas) {
  Start(R"({"limits":{"max_waiting":5}})");
  Write("atelier.json",
        R"({"limits":{"max_waiting":6},"log_level":"debug","drain":{"grace_s":-1}})");
  const auto reply = live_->Reload();
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reply.status().message(), "drain.grace_s: must be from 0 to 600");
  std::filesystem::remove(folder_ / "atelier.json");
  EXPECT_EQ(live_->Reload().status().code(), absl::StatusCode::kNotFound);
  ExpectNothingApplied();
  EXPECT_EQ(live_->current().limits().max_waiting(), 5U);
}

TEST_F(LiveConfigTest, WithoutAFileThereIsNothingToRead) {
  const LiveConfig::Options options;
  LiveConfig live(options);
  EXPECT_EQ(live.Reload().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LiveConfigTest, NewCertificatesAreTakenAndToldByTheirKeys) {
  const test::CertificateAuthority ca("ca");
  WriteIdentity(ca.Issue("first"));
  const std::string json = R"({"tls":{"certificate":"cert.pem","key":"key.pem"}})";
  Start(json);
  EXPECT_THAT(Reload(json).changed(), IsEmpty());
  const TlsIdentity second = ca.Issue("second");
  WriteIdentity(second);
  EXPECT_THAT(Reload(json).changed(), UnorderedElementsAre("tls.certificate", "tls.key"));
  EXPECT_EQ(certificates_->current().identity, second);
}

// Of both ports, or of none.
TEST_F(LiveConfigTest, TheWorkersPortTakesNewCertificatesTogetherWithTheClients) {
  const test::CertificateAuthority ca("ca");
  WriteIdentity(ca.Issue("first"));
  Write("ca.pem", ca.certificate());
  const auto write_workers = [this](const TlsIdentity& identity) {
    Write("w.pem", identity.certificate);
    Write("w.key", identity.key);
  };
  const TlsIdentity first = ca.Issue("workers");
  write_workers(first);
  const std::string json =
      R"({"tls":{"certificate":"cert.pem","key":"key.pem"},"worker_listen":"127.0.0.1:0",
          "worker_tls":{"certificate":"w.pem","key":"w.key","client_ca":"ca.pem"}})";
  Start(json);
  EXPECT_THAT(Reload(json).changed(), IsEmpty());

  const TlsIdentity clients = certificates_->current().identity;
  WriteIdentity(ca.Issue("second"));
  Write("w.key", "no key");
  const auto wrong = live_->Reload();
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("worker_tls.key: "));
  EXPECT_EQ(certificates_->current().identity, clients);
  EXPECT_EQ(worker_certificates_->current().identity, first);

  const TlsIdentity second = ca.Issue("workers again");
  write_workers(second);
  Write("ca.pem", test::CertificateAuthority("other").certificate());
  EXPECT_THAT(Reload(json).changed(),
              UnorderedElementsAre("tls.certificate", "tls.key", "worker_tls.certificate",
                                   "worker_tls.key", "worker_tls.client_ca"));
  EXPECT_EQ(worker_certificates_->current().identity, second);
}

TEST_F(LiveConfigTest, AnotherAddressForWorkersNeedsARestart) {
  const test::CertificateAuthority ca("ca");
  WriteIdentity(ca.Issue("workers"));
  Write("ca.pem", ca.certificate());
  const std::string tls =
      R"("worker_tls":{"certificate":"cert.pem","key":"key.pem","client_ca":"ca.pem"}})";
  Start(R"({"worker_listen":"127.0.0.1:1",)" + tls);
  EXPECT_THAT(Reload(R"({"worker_listen":"127.0.0.1:2",)" + tls).after_restart(),
              UnorderedElementsAre("worker_listen"));
}

TEST_F(LiveConfigTest, APairThatDoesNotMatchChangesNothingAtAll) {
  const test::CertificateAuthority ca("ca");
  const TlsIdentity first = ca.Issue("first");
  WriteIdentity(first);
  const std::string tls = R"("tls":{"certificate":"cert.pem","key":"key.pem"})";
  Start("{" + tls + "}");
  Write("cert.pem", ca.Issue("second").certificate);
  Write("atelier.json", "{" + tls + R"(,"limits":{"max_waiting":6}})");
  const auto reply = live_->Reload();
  EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(reply.status().message()), HasSubstr("tls.key: "));
  ExpectNothingApplied();
  EXPECT_EQ(certificates_->current().identity, first);
}

TEST_F(LiveConfigTest, CertificatesAtANewPlaceAreCheckedThoughTheyNeedARestart) {
  Start("{}");
  const std::string json = R"({"tls":{"certificate":"cert.pem","key":"key.pem"}})";
  Write("atelier.json", json);
  EXPECT_EQ(live_->Reload().status().code(), absl::StatusCode::kNotFound);
  WriteIdentity(test::CertificateAuthority("ca").Issue("server"));
  EXPECT_THAT(Reload(json).after_restart(), UnorderedElementsAre("tls.certificate", "tls.key"));
}

}  // namespace
}  // namespace atelier::server
