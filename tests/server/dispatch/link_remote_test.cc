// The second port of the link, with real certificates, and the calls for files over it.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/server/dispatch/link_remote_harness.h"

namespace atelier::server {
namespace {

using internal::v1::FileWrite;
using test::WaitUntil;
using testing::CreditOf;
using ::testing::ElementsAre;
using testing::FarPuppet;
using testing::FreeTrainHello;
using ::testing::IsEmpty;
using testing::LinkRemoteTest;
using testing::ServeHello;

TEST_F(LinkRemoteTest, OnlyWhoShowsACertificateOfTheAuthorityIsLetIn) {
  EXPECT_TRUE(FarPuppet(Channel(worker_)).Greet(ServeHello()));
  const test::CertificateAuthority other("other");
  FarPuppet stranger(Channel(other.Issue("worker", "")));
  EXPECT_FALSE(stranger.Greet(ServeHello()));
  EXPECT_EQ(stranger.End(), grpc::StatusCode::UNAVAILABLE);
  FarPuppet nobody(Channel({}));
  EXPECT_FALSE(nobody.Greet(ServeHello()));
  EXPECT_EQ(nobody.End(), grpc::StatusCode::UNAVAILABLE);
  FarPuppet plain(grpc::CreateChannel(FormatHostPort(*server_->remote_address()),
                                      grpc::InsecureChannelCredentials()));
  EXPECT_FALSE(plain.Greet(ServeHello()));
}

TEST_F(LinkRemoteTest, NobodyElseGetsTheBulkStreamOfASession) {
  FarPuppet worker(Channel(worker_));
  ASSERT_TRUE(worker.Greet(ServeHello()));
  FarPuppet neighbour(grpc::CreateChannel(socket_->address(), grpc::InsecureChannelCredentials()));
  ASSERT_TRUE(neighbour.Greet(ServeHello()));
  ASSERT_TRUE(worker.Say(CreditOf(1)));
  // Numbers of sessions follow one another, so a thief needs no luck.
  for (const std::uint64_t session : {worker.session(), neighbour.session()}) {
    FarPuppet thief(Channel(ca_.Issue("thief", "")));
    EXPECT_EQ(thief.AttachBulk(session), grpc::StatusCode::FAILED_PRECONDITION);
  }
  EXPECT_TRUE(dispatcher_.without_workers_since().has_value()) << "neither serves yet";
  EXPECT_EQ(worker.AttachBulk(worker.session()), grpc::StatusCode::OK);
  EXPECT_TRUE(WaitUntil([&] { return !dispatcher_.without_workers_since().has_value(); }));
}

TEST_F(LinkRemoteTest, ADataSetIsListedAndRead) {
  const auto trainer = Trainer(worker_);
  EXPECT_THAT(trainer->List("content", grpc::StatusCode::OK), ElementsAre("a.jpg", "oil/b.png"));
  EXPECT_THAT(trainer->digests(), ElementsAre(Sha256Hex("picture"), Sha256Hex("painting")));
  EXPECT_EQ(trainer->Read("content", "a.jpg", 0, grpc::StatusCode::OK), "picture");
  EXPECT_EQ(trainer->Read("content", "oil/b.png", 5, grpc::StatusCode::OK), "ing");
  trainer->Read("content", "a.jpg", 8, grpc::StatusCode::OUT_OF_RANGE);
  trainer->Read("content", "none.jpg", 0, grpc::StatusCode::NOT_FOUND);
  trainer->Read("content", "notes.txt", 0, grpc::StatusCode::NOT_FOUND);
  trainer->Read("content", "../attempt/x", 0, grpc::StatusCode::INVALID_ARGUMENT);
  trainer->Read("style", "a.jpg", 0, grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(LinkRemoteTest, FoldersOfOtherSessionsAreClosed) {
  const auto trainer = Trainer(worker_);
  // Another worker's certificate does not open this one's session, whatever number it tells.
  FarPuppet thief(Channel(ca_.Issue("thief", "")));
  ASSERT_TRUE(thief.Greet(FreeTrainHello()));
  EXPECT_THAT(thief.List("content", grpc::StatusCode::PERMISSION_DENIED, trainer->session()),
              IsEmpty());
  thief.List("content", grpc::StatusCode::PERMISSION_DENIED);
  thief.List("content", grpc::StatusCode::PERMISSION_DENIED, 123456);
  EXPECT_EQ(thief.Write("attempt", "a", "x"), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(LinkRemoteTest, FilesComeBackIntoTheAttemptsFolder) {
  const auto trainer = Trainer(worker_);
  const std::string weights(5 << 20, 'w');
  const auto writing = trainer->BeginWriting("attempt");
  FarPuppet::Send(*writing, "checkpoints/step-5/weights", weights);
  FarPuppet::Send(*writing, "checkpoints/step-5/complete", "");
  EXPECT_EQ(FarPuppet::Finish(*writing), grpc::StatusCode::OK);
  EXPECT_EQ(writing->reply.files(), 2U);
  EXPECT_EQ(Contents("attempt/checkpoints/step-5/weights"), weights);
  EXPECT_EQ(trainer->Write("attempt", "../elsewhere", "x"), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(trainer->Write("content", "new.jpg", "x"), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "elsewhere"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "set/new.jpg"));
}

TEST_F(LinkRemoteTest, OnlyOneCallWritesAtATimeAndACutOneLeavesNothing) {
  const auto trainer = Trainer(worker_);
  auto first = trainer->BeginWriting("attempt");
  FarPuppet::Send(*first, "whole", "whole");
  ASSERT_TRUE(WaitUntil([&] { return Contents("attempt/whole") == "whole"; }));
  EXPECT_EQ(trainer->Write("attempt", "second", "x"), grpc::StatusCode::UNAVAILABLE);
  FileWrite header;
  header.mutable_file()->set_path("cut");
  header.mutable_file()->set_size(100);
  header.mutable_file()->set_sha256(Sha256Hex("x"));
  first->stream->Write(header);
  first->context.TryCancel();
  first->stream->Finish();
  EXPECT_TRUE(
      WaitUntil([&] { return trainer->Write("attempt", "second", "x") == grpc::StatusCode::OK; }));
  int entries = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator(folder_ / "attempt")) {
    ++entries;
  }
  EXPECT_EQ(entries, 2) << "whole and second";
}

TEST_F(LinkRemoteTest, AStaleLeaseWritesNothingMore) {
  const auto trainer = Trainer(worker_);
  EXPECT_EQ(trainer->Write("attempt", "a", "x"), grpc::StatusCode::OK);
  jobs_.EndLease();
  EXPECT_EQ(trainer->Write("attempt", "b", "x"), grpc::StatusCode::ABORTED);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "attempt/b"));
}

TEST_F(LinkRemoteTest, AnAddressThatIsTakenIsToldWithItsKey) {
  const std::string taken = FormatHostPort(*server_->remote_address());
  const auto socket = *LinkSocket::Create(folder_ / "run2");
  const auto second = LinkServer::Create(
      *socket,
      {.dispatcher = &dispatcher_,
       .loader = &loader_,
       .jobs = &jobs_,
       .trainers = &trainers_,
       .probe = &worker_probe_,
       .clock = &SystemClock()},
      RemotePort{.listen = taken, .credentials = grpc::InsecureServerCredentials()});
  EXPECT_EQ(second.status(), absl::UnavailableError("worker_listen: cannot listen on " + taken +
                                                    "; another program may be using the port"));
}

}  // namespace
}  // namespace atelier::server
