// The program itself, without workers.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "atelier/v1/training.grpc.pb.h"
#include "tests/server/app/program_fixture.h"
#include "tests/support/process.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST_F(ProgramTest, SaysWhereItListensAndEndsWithZeroAtSigterm) {
  test::Process server({.command = Command()});
  ASSERT_TRUE(server.WaitForStdout("\n"));
  EXPECT_THAT(
      server.Stdout(),
      MatchesRegex("listening grpc=127\\.0\\.0\\.1:[0-9]+ metrics=127\\.0\\.0\\.1:[0-9]+\n"));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0) << server.Stderr();
}

TEST_F(ProgramTest, TakenPortIsOneSentenceAndExitCodeOne) {
  test::Process first({.command = Command()});
  const std::string taken = GrpcAddress(first);
  std::vector<std::string> command = Command();
  command.at(2) = (folder_ / "other").string();
  command.at(4) = taken;
  const test::ProcessResult second = test::RunProcess({.command = command});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_EQ(second.out, "");
  EXPECT_THAT(second.err, HasSubstr("atelier-server: cannot listen on " + taken));
}

TEST_F(ProgramTest, AFolderOfShippedModelsThatHoldsNoneIsOneSentenceAndExitCodeOne) {
  std::filesystem::create_directories(folder_ / "no-model" / "oil" / "1");
  for (const std::string folder : {"missing", "no-model"}) {
    std::vector<std::string> command = Command();
    command.back() = (folder_ / folder).string();
    const test::ProcessResult result = test::RunProcess({.command = command});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "atelier-server: --shipped-models: " + command.back() +
                              " holds no whole model; give a folder with NAME/VERSION/model.json "
                              "and its weights, or none\n");
    EXPECT_FALSE(std::filesystem::exists(folder_ / "data")) << "nothing was begun";
  }
}

TEST_F(ProgramTest, WithoutTheDefaultFolderOfShippedModelsItStartsAndSaysSo) {
  std::vector<std::string> command = Command();
  command.resize(command.size() - 2);
  std::filesystem::create_directories(folder_ / "bin");
  std::filesystem::copy_file(command.front(), folder_ / "bin" / "atelier-server");
  command.front() = (folder_ / "bin" / "atelier-server").string();
  test::Process server({.command = command});
  GrpcAddress(server);
  EXPECT_THAT(server.Stderr(), HasSubstr("no styles are shipped: "));
}

TEST_F(ProgramTest, SecondServerOnTheSameFolderIsRefused) {
  test::Process first({.command = Command()});
  GrpcAddress(first);
  const test::ProcessResult second = test::RunProcess({.command = Command()});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("atelier-server: "));
}

TEST_F(ProgramTest, ServerThatWasKilledLeavesNothingInTheWay) {
  {
    test::Process first({.command = Command()});
    GrpcAddress(first);
    first.Signal(SIGKILL);
    EXPECT_EQ(first.Wait(), 128 + SIGKILL);
  }
  test::Process second({.command = Command()});
  GrpcAddress(second);
  second.Signal(SIGTERM);
  EXPECT_EQ(second.Wait(), 0);
}

TEST_F(ProgramTest, HealthServesAtOnceAndNotWithoutWorkersAfterTheGrace) {
  test::Process server({.command = Command({"--worker-grace", "2s"})});
  auto channel = grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials());
  EXPECT_EQ(Health(channel, ""), 1);
  EXPECT_EQ(Health(channel, "atelier.v1.StylizeService"), 1);
  EXPECT_TRUE(test::WaitUntil([&] { return Health(channel, "") == 2; }));
  EXPECT_EQ(Health(channel, "atelier.v1.StylizeService"), 2);
  EXPECT_EQ(Health(channel, "atelier.v1.ModelService"), 1) << "only stylizing needs workers";
  EXPECT_EQ(Probe(server, "/readyz"), 503);
  EXPECT_EQ(Probe(server, "/healthz"), 200);
}

TEST_F(ProgramTest, HealthWatchTellsEachChange) {
  test::Process server({.command = Command({"--worker-grace", "5s"})});
  HealthWatch watch(grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials()));
  EXPECT_EQ(watch.Next(), 1) << "SERVING";
  EXPECT_EQ(watch.Next(), 2) << "NOT_SERVING, no worker came";
}

TEST_F(ProgramTest, ReflectionListsTheServices) {
  test::Process server({.command = Command({"--reflection"})});
  RawStream reflection(grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials()),
                       "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
  reflection.Write(std::string("\x3a\x01*", 3));  // list_services: "*"
  const std::string services = reflection.Read();
  for (const char* name : {"atelier.v1.StylizeService", "atelier.v1.TrainingService",
                           "atelier.v1.ModelService", "atelier.v1.DatasetService"}) {
    EXPECT_THAT(services, HasSubstr(name));
  }
}

TEST_F(ProgramTest, WithoutAWorkerProgramTrainingJobsAreRefusedWithWhatToDo) {
  for (const char* name : {"garments", "paintings"}) {
    std::filesystem::create_directories(folder_ / "data" / "datasets" / name);
    std::ofstream(folder_ / "data" / "datasets" / name / "a.jpg") << "x";
  }
  // The server looks for the worker's program beside its own.
  std::vector<std::string> command = Command();
  std::filesystem::create_directories(folder_ / "bin");
  std::filesystem::copy_file(command.front(), folder_ / "bin" / "atelier-server");
  command.front() = (folder_ / "bin" / "atelier-server").string();
  test::Process server({.command = command});
  auto channel = grpc::CreateChannel(GrpcAddress(server), grpc::InsecureChannelCredentials());
  const auto training = v1::TrainingService::NewStub(channel);

  v1::CreateJobRequest request;
  request.mutable_spec()->set_job_id("oil-1");
  request.mutable_spec()->set_output_model("oil");
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  train.set_family("faststyle");
  train.set_steps(10);
  train.mutable_data()->set_content("garments");
  train.mutable_data()->set_style("paintings");
  grpc::ClientContext context;
  v1::Job job;
  const grpc::Status status = training->CreateJob(&context, request, &job);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(),
            "this server cannot train: it has no worker program; install atelier-worker beside "
            "atelier-server");
  EXPECT_THAT(server.Stderr(), HasSubstr("training jobs are refused"));
}

}  // namespace
}  // namespace atelier::server
