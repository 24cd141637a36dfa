// The program's port for workers of other machines.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "atelier/internal/v1/worker_link.grpc.pb.h"
#include "atelier/v1/training.grpc.pb.h"
#include "tests/server/app/program_fixture.h"
#include "tests/support/certificates.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using internal::v1::ServerMessage;
using internal::v1::WorkerLink;
using internal::v1::WorkerMessage;
using ::testing::HasSubstr;
using ::testing::Not;

class WorkersProgramTest : public ProgramTest {
 protected:
  WorkersProgramTest() {
    std::filesystem::create_directories(folder_ / "data/datasets/garments");
    std::ofstream(folder_ / "data/datasets/garments/a.jpg") << "x";
    std::filesystem::create_directories(folder_ / "data/datasets/paintings");
    std::ofstream(folder_ / "data/datasets/paintings/a.jpg") << "x";
    std::ofstream(folder_ / "ca.pem") << ca_.certificate();
    Write("server", ca_.Issue("server"));
  }

  void Write(const std::string& name, const TlsIdentity& identity) const {
    std::ofstream(folder_ / (name + ".pem")) << identity.certificate;
    std::ofstream(folder_ / (name + ".key")) << identity.key;
  }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<std::string> WorkersCommand(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--trainers", "0", "--worker-listen", "127.0.0.1:0",
                             "--worker-tls-cert", Path("server.pem"), "--worker-tls-key",
                             Path("server.key"), "--worker-tls-client-ca", Path("ca.pem")});
    return Command(std::move(more));
  }

  static std::string WorkersAddress(const test::Process& server) {
    EXPECT_TRUE(server.WaitForStdout("workers=")) << server.Stderr();
    const std::string line = server.Stdout();
    EXPECT_THAT(line, HasSubstr("listening grpc="));
    const std::size_t start = line.find(" workers=") + 9;
    return line.substr(start, line.find('\n', start) - start);
  }

  // A trainer that says hello and waits: the job that it is sent, or none when it is not let in.
  std::string JobOf(const std::string& address, const TlsIdentity& identity) const {
    const auto stub = WorkerLink::NewStub(grpc::CreateChannel(
        address, grpc::SslCredentials({.pem_root_certs = ca_.certificate(),
                                       .pem_private_key = identity.key,
                                       .pem_cert_chain = identity.certificate})));
    grpc::ClientContext context;
    const auto stream = stub->Control(&context);
    WorkerMessage hello;
    hello.mutable_hello()->set_protocol_min(1);
    hello.mutable_hello()->set_protocol_max(2);
    hello.mutable_hello()->set_device("cpu");
    hello.mutable_hello()->set_role(internal::v1::WORKER_ROLE_TRAIN);
    hello.mutable_hello()->set_name("far");
    hello.mutable_hello()->set_fetches_files(true);
    stream->Write(hello);
    ServerMessage message;
    std::string job;
    while (stream->Read(&message)) {
      if (message.has_start_job()) {
        job =
            message.start_job().spec().job_id() + " in " + message.start_job().attempt_directory();
        break;
      }
    }
    context.TryCancel();
    stream->Finish();
    return job;
  }

  static grpc::Status CreateJob(const test::Process& server, v1::Job& job) {
    const auto stub = v1::TrainingService::NewStub(
        grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials()));
    v1::CreateJobRequest request;
    request.mutable_spec()->set_job_id("oil-1");
    request.mutable_spec()->set_output_model("oil");
    request.mutable_spec()->mutable_train()->set_family("faststyle");
    request.mutable_spec()->mutable_train()->set_steps(10);
    request.mutable_spec()->mutable_train()->mutable_data()->set_content("garments");
    request.mutable_spec()->mutable_train()->mutable_data()->set_style("paintings");
    grpc::ClientContext context;
    return stub->CreateJob(&context, request, &job);
  }

  const test::CertificateAuthority ca_{"ca"};
};

TEST_F(WorkersProgramTest, AJobWaitsForATrainerOfAnotherMachineAndGoesToIt) {
  test::Process server({.command = WorkersCommand()});
  const std::string address = WorkersAddress(server);
  v1::Job job;
  const grpc::Status created = CreateJob(server, job);
  ASSERT_TRUE(created.ok()) << created.error_message();
  EXPECT_EQ(job.state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(JobOf(address, test::CertificateAuthority("other").Issue("far", "")), "");
  EXPECT_EQ(JobOf(address, {}), "");
  EXPECT_EQ(JobOf(address, ca_.Issue("far", "")), "oil-1 in attempt");
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
}

TEST_F(WorkersProgramTest, WithoutThePortAServerWithoutTrainersRefusesJobs) {
  test::Process server({.command = Command({"--trainers", "0"})});
  v1::Job job;
  const grpc::Status created = CreateJob(server, job);
  EXPECT_EQ(created.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(created.error_message(), HasSubstr("worker_listen"));
  EXPECT_THAT(server.Stdout(), Not(HasSubstr("workers=")));
}

TEST_F(WorkersProgramTest, WrongFilesKeepTheServerFromStarting) {
  Write("server", ca_.Issue("server", "IP:127.0.0.1", absl::Hours(-1)));
  const test::ProcessResult expired = test::RunProcess({.command = WorkersCommand()});
  EXPECT_EQ(expired.exit_code, 1);
  EXPECT_THAT(expired.err, HasSubstr("worker_tls.certificate: \"server.pem\" has expired"));
}

}  // namespace
}  // namespace atelier::server
