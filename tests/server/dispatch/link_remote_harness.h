// A link server with a port for other machines, and workers there that tests play.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "atelier/internal/v1/worker_files.grpc.pb.h"
#include "atelier/internal/v1/worker_link.grpc.pb.h"
#include "common/clock.h"
#include "common/files.h"
#include "prometheus/registry.h"
#include "server/dispatch/link/link_server.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server::testing {

// A worker on another machine, without a mind of its own.
class FarPuppet {
 public:
  explicit FarPuppet(const std::shared_ptr<grpc::Channel>& channel)
      : link_(internal::v1::WorkerLink::NewStub(channel)),
        files_(internal::v1::WorkerFiles::NewStub(channel)) {}
  ~FarPuppet() { HangUp(); }

  // Cuts its streams.
  void HangUp() {
    if (bulk_ != nullptr) {
      bulk_context_.TryCancel();
      bulk_->Finish();
      bulk_.reset();
    }
    if (control_ != nullptr) {
      context_.TryCancel();
      control_->Finish();
      control_.reset();
    }
  }

  // False: the stream has ended, which `End` tells more of.
  bool Greet(internal::v1::WorkerMessage hello) {
    control_ = link_->Control(&context_);
    hello.mutable_hello()->set_fetches_files(true);
    control_->Write(hello);
    internal::v1::ServerMessage welcome;
    if (!control_->Read(&welcome)) {
      return false;
    }
    session_ = welcome.welcome().session();
    return true;
  }
  bool Say(const internal::v1::WorkerMessage& message) { return control_->Write(message); }
  grpc::StatusCode End() {
    const grpc::StatusCode code = control_->Finish().error_code();
    control_.reset();
    return code;
  }
  std::uint64_t session() const { return session_; }

  // What becomes of a bulk stream for this session; OK: it is this one's, and stays open.
  grpc::StatusCode AttachBulk(std::uint64_t session) {
    bulk_context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    bulk_ = link_->Bulk(&bulk_context_);
    internal::v1::WorkerMessage hello;
    hello.mutable_bulk_hello()->set_session(session);
    bulk_->Write(hello);
    internal::v1::ServerMessage message;
    if (session == session_ || bulk_->Read(&message)) {
      return grpc::StatusCode::OK;
    }
    const grpc::StatusCode code = bulk_->Finish().error_code();
    bulk_.reset();
    return code;
  }

  // The paths of a folder, or how it failed.
  std::vector<std::string> List(const std::string& folder, grpc::StatusCode expected,
                                std::optional<std::uint64_t> session = std::nullopt) {
    grpc::ClientContext context;
    internal::v1::ListFilesRequest request;
    request.set_session(session.value_or(session_));
    request.set_folder(folder);
    const auto reader = files_->ListFiles(&context, request);
    std::vector<std::string> paths;
    internal::v1::FileEntry entry;
    while (reader->Read(&entry)) {
      paths.push_back(entry.path());
      digests_.push_back(entry.sha256());
    }
    EXPECT_EQ(reader->Finish().error_code(), expected) << folder;
    return paths;
  }
  const std::vector<std::string>& digests() const { return digests_; }

  std::string Read(const std::string& folder, const std::string& path, std::uint64_t offset,
                   grpc::StatusCode expected) {
    grpc::ClientContext context;
    internal::v1::ReadFileRequest request;
    request.set_session(session_);
    request.set_folder(folder);
    request.set_path(path);
    request.set_offset(offset);
    const auto reader = files_->ReadFile(&context, request);
    std::string contents;
    internal::v1::FileChunk chunk;
    while (reader->Read(&chunk)) {
      EXPECT_LE(chunk.data().size(), 1U << 20U);
      contents += chunk.data();
    }
    EXPECT_EQ(reader->Finish().error_code(), expected) << path;
    return contents;
  }

  struct Reading {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<internal::v1::FileChunk>> stream;

    ~Reading() { context.TryCancel(); }
  };
  // A call that has got an answer, of which nothing was read yet.
  std::unique_ptr<Reading> BeginReading(const std::string& folder, const std::string& path) {
    auto reading = std::make_unique<Reading>();
    internal::v1::ReadFileRequest request;
    request.set_session(session_);
    request.set_folder(folder);
    request.set_path(path);
    reading->stream = files_->ReadFile(&reading->context, request);
    reading->stream->WaitForInitialMetadata();
    return reading;
  }
  bool IsRefused(const std::string& folder, const std::string& path) {
    internal::v1::FileChunk chunk;
    return !BeginReading(folder, path)->stream->Read(&chunk);
  }
  // How it ends.
  static grpc::StatusCode ReadOn(Reading& reading) {
    internal::v1::FileChunk chunk;
    while (reading.stream->Read(&chunk)) {
    }
    return reading.stream->Finish().error_code();
  }

  struct Writing {
    grpc::ClientContext context;
    internal::v1::WriteFilesReply reply;
    std::unique_ptr<grpc::ClientWriter<internal::v1::FileWrite>> stream;

    ~Writing() { context.TryCancel(); }
  };
  // A call that says nothing yet.
  std::unique_ptr<Writing> Open() {
    auto writing = std::make_unique<Writing>();
    writing->stream = files_->WriteFiles(&writing->context, &writing->reply);
    return writing;
  }
  std::unique_ptr<Writing> BeginWriting(const std::string& folder) {
    std::unique_ptr<Writing> writing = Open();
    internal::v1::FileWrite begin;
    begin.mutable_begin()->set_session(session_);
    begin.mutable_begin()->set_folder(folder);
    writing->stream->Write(begin);
    return writing;
  }
  static void Send(Writing& writing, const std::string& path, const std::string& contents) {
    internal::v1::FileWrite header;
    header.mutable_file()->set_path(path);
    header.mutable_file()->set_size(contents.size());
    header.mutable_file()->set_sha256(Sha256Hex(contents));
    writing.stream->Write(header);
    constexpr std::size_t kPiece = 1U << 20U;
    for (std::size_t at = 0; at < contents.size(); at += kPiece) {
      internal::v1::FileWrite data;
      data.set_data(contents.substr(at, kPiece));
      writing.stream->Write(data);
    }
  }
  static grpc::StatusCode Finish(Writing& writing) {
    writing.stream->WritesDone();
    return writing.stream->Finish().error_code();
  }
  grpc::StatusCode Write(const std::string& folder, const std::string& path,
                         const std::string& contents) {
    const auto writing = BeginWriting(folder);
    Send(*writing, path, contents);
    return Finish(*writing);
  }

 private:
  std::unique_ptr<internal::v1::WorkerLink::Stub> link_;
  std::unique_ptr<internal::v1::WorkerFiles::Stub> files_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<internal::v1::WorkerMessage, internal::v1::ServerMessage>>
      control_;
  grpc::ClientContext bulk_context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<internal::v1::WorkerMessage, internal::v1::ServerMessage>>
      bulk_;
  std::uint64_t session_ = 0;
  std::vector<std::string> digests_;
};

// A server with both ports, and one data set.
class LinkRemoteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    const TlsIdentity identity = ca_.Issue("server");
    tls.pem_root_certs = ca_.certificate();
    tls.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
    socket_ = *LinkSocket::Create(folder_ / "run");
    auto server = LinkServer::Create(
        *socket_,
        {.dispatcher = &dispatcher_,
         .loader = &loader_,
         .jobs = &jobs_,
         .trainers = &trainers_,
         .free_trainers = &free_trainers_,
         .probe = &worker_probe_,
         .clock = &SystemClock()},
        RemotePort{.listen = "127.0.0.1:0", .credentials = grpc::SslServerCredentials(tls)});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    Fill("set/a.jpg", "picture");
    Fill("set/oil/b.png", "painting");
    Fill("set/notes.txt", "private");
    std::filesystem::create_directories(folder_ / "attempt");
    internal::v1::StartJob start;
    start.mutable_spec()->set_job_id("j");
    start.set_fence(4);
    start.set_attempt_directory((folder_ / "attempt").string());
    start.set_content_directory((folder_ / "set").string());
    jobs_.StartWith(start);
  }

  void Fill(const std::string& path, const std::string& contents) const {
    std::filesystem::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path) << contents;
  }
  std::string Contents(const std::string& path) const {
    std::ifstream file(folder_ / path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::shared_ptr<grpc::Channel> Channel(const TlsIdentity& identity) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(FormatHostPort(*server_->remote_address()),
                                     grpc::SslCredentials({.pem_root_certs = ca_.certificate(),
                                                           .pem_private_key = identity.key,
                                                           .pem_cert_chain = identity.certificate}),
                                     arguments);
  }
  // A trainer that has its job.
  std::unique_ptr<FarPuppet> Trainer(const TlsIdentity& identity) {
    const auto before = free_trainers_.port();
    auto puppet = std::make_unique<FarPuppet>(Channel(identity));
    EXPECT_TRUE(puppet->Greet(FreeTrainHello()));
    EXPECT_TRUE(test::WaitUntil([&] { return free_trainers_.port() != before; }));
    EXPECT_TRUE(free_trainers_.port()->Assign("j", 4).ok());
    return puppet;
  }

  const test::TempDir folder_;
  const test::CertificateAuthority ca_{"ca"};
  const TlsIdentity worker_ = ca_.Issue("worker", "");
  prometheus::Registry registry_;
  QueueProbe queue_probe_{registry_};
  WorkerProbe worker_probe_{registry_, "here"};
  RequestQueue queue_{{}, SystemClock(), queue_probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, SystemClock(), dispatch_probe_};
  FakeRegistry models_;
  ModelLoader loader_{models_};
  FakeJobs jobs_;
  FakeTrainers trainers_;
  FakeFreeTrainers free_trainers_;
  std::unique_ptr<LinkSocket> socket_;
  std::unique_ptr<LinkServer> server_;
};

}  // namespace atelier::server::testing
