// Several processes that train one job together: atelier-train as torchrun starts it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using WeightsByName = std::map<std::string, std::vector<float>>;

// The float32 tensors of a safetensors file (8 bytes with the header's length, the header as JSON,
// the numbers), without the optimiser's.
WeightsByName ReadWeights(const std::filesystem::path& file) {
  const std::string bytes = ReadFile(file, 1ULL << 30U).value();
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  WeightsByName weights;
  const std::size_t numbers = sizeof(length) + length;
  const nlohmann::json header = nlohmann::json::parse(bytes.substr(sizeof(length), length));
  for (const auto& [name, tensor] : header.items()) {
    if (name.find('#') != std::string::npos || !tensor.is_object() ||
        tensor.value("dtype", "") != "F32") {
      continue;
    }
    const std::size_t begin = tensor["data_offsets"][0];
    const std::size_t end = tensor["data_offsets"][1];
    weights[name].resize((end - begin) / sizeof(float));
    std::memcpy(weights[name].data(), bytes.data() + numbers + begin, end - begin);
  }
  return weights;
}

double LargestDifference(const WeightsByName& a, const WeightsByName& b) {
  double largest = 0;
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [name, numbers] : a) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      largest = std::max(largest, std::abs(double{numbers[i]} - double{b.at(name)[i]}));
    }
  }
  return largest;
}

// A port of the loopback at which nobody listens.
int UnusedPort() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(socket, name, length), 0);
  EXPECT_EQ(::getsockname(socket, name, &length), 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

class RankProgramsTest : public ::testing::Test {
 protected:
  RankProgramsTest() {
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "other", 5, 77);
    WriteJob("job.json", 3);
  }

  // A tiny DCGAN with batch norms in both networks.
  void WriteJob(const std::string& name, int steps, int batch_size = 4, int checkpoint_every = 3) {
    const nlohmann::json job = {{"job_id", "ranks"},
                                {"output_model", "ranks"},
                                {"train",
                                 {{"family", "dcgan"},
                                  {"data", {{"content", "content"}}},
                                  {"steps", steps},
                                  {"batch_size", batch_size},
                                  {"image_size", 64},
                                  {"base_channels", 4},
                                  {"gan", {{"channels", 4}, {"norm", "batch"}}},
                                  {"precision", "fp32"},
                                  {"sample_every_epochs", 100000},
                                  {"checkpoint_every_steps", checkpoint_every}}}};
    std::ofstream(directory_ / name) << job.dump();
  }

  std::vector<std::string> TrainCommand(const std::string& out, const std::string& job = "job.json",
                                        const std::string& set = "content") const {
    return {ProgramPath("atelier-train"),
            "-f",
            (directory_ / job).string(),
            "--dataset",
            "content=" + (directory_ / set).string(),
            "--out",
            (directory_ / out).string(),
            "--threads",
            "1",
            "--join-timeout",
            "60"};
  }

  static std::map<std::string, std::string> TorchrunEnvironment(int rank, int size, int port) {
    return {{"WORLD_SIZE", std::to_string(size)},  {"RANK", std::to_string(rank)},
            {"LOCAL_RANK", std::to_string(rank)},  {"MASTER_ADDR", "127.0.0.1"},
            {"MASTER_PORT", std::to_string(port)}, {"OMP_WAIT_POLICY", "PASSIVE"}};
  }

  // Two ranks of a command; the second may have another one.
  std::vector<std::unique_ptr<Process>> StartTwo(const std::vector<std::string>& command,
                                                 const std::vector<std::string>& second) const {
    const int port = UnusedPort();
    std::vector<std::unique_ptr<Process>> processes;
    for (int rank = 0; rank < 2; ++rank) {
      processes.push_back(std::make_unique<Process>(
          ProcessOptions{.command = rank == 0 ? command : second,
                         .environment = TorchrunEnvironment(rank, 2, port)}));
    }
    return processes;
  }

  WeightsByName WeightsOf(const std::string& out, int step) const {
    return ReadWeights(directory_ / out / "attempts/1/checkpoints" /
                       ("step-" + std::to_string(step)) / "state.safetensors");
  }

  TempDir directory_;
};

TEST_F(RankProgramsTest, TwoRanksLearnTheWeightsOfOneProcessAndOnlyTheFirstWrites) {
  const ProcessResult alone = RunProcess({.command = TrainCommand("alone")});
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  const auto two = StartTwo(TrainCommand("two"), TrainCommand("two"));
  for (const auto& process : two) {
    EXPECT_EQ(process->Wait(absl::Seconds(120)), 0) << process->Stderr();
  }
  EXPECT_THAT(two[0]->Stdout(), HasSubstr("attempts/1/result"));
  EXPECT_EQ(two[1]->Stdout(), "");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "two/attempts/1/result/model.json"));
  EXPECT_LT(LargestDifference(WeightsOf("alone", 3), WeightsOf("two", 3)), 2e-5);
  // One line a report, from one rank.
  std::ifstream stats(directory_ / "two/attempts/1/stats.jsonl");
  std::int64_t last = -1;
  for (std::string line; std::getline(stats, line);) {
    const std::int64_t step = nlohmann::json::parse(line)["step"];
    EXPECT_GT(step, last);
    last = step;
  }
  EXPECT_EQ(last, 3);
}

TEST_F(RankProgramsTest, ALostRankEndsTheOtherAndTheRunGoesOnWithAnotherNumberOfRanks) {
  for (const std::size_t lost : {1U, 0U}) {
    const std::string out = "lost-" + std::to_string(lost);
    WriteJob("long.json", 100'000, 4, 2);
    const auto two = StartTwo(TrainCommand(out, "long.json"), TrainCommand(out, "long.json"));
    const std::filesystem::path checkpoints = directory_ / out / "attempts/1/checkpoints";
    ASSERT_TRUE(WaitUntil([&] { return std::filesystem::exists(checkpoints / "step-4/complete"); },
                          absl::Seconds(120)))
        << two[0]->Stderr() << two[1]->Stderr();
    const absl::Time start = absl::Now();
    two[lost]->Signal(SIGKILL);
    EXPECT_EQ(two[1 - lost]->Wait(absl::Seconds(60)), 1);
    EXPECT_LT(absl::Now() - start, absl::Seconds(20));
    EXPECT_THAT(two[1 - lost]->Stderr(),
                HasSubstr("rank " + std::to_string(lost) + " of 2 was lost"));
    // What is on the disk is whole: one process alone goes on from it.
    int newest = 0;
    for (const auto& entry : std::filesystem::directory_iterator(checkpoints)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("step-") && std::filesystem::exists(entry.path() / "complete")) {
        newest = std::max(newest, std::stoi(name.substr(5)));
      }
    }
    ASSERT_GE(newest, 4);
    WriteJob("long.json", newest + 2, 4, 2);
    const ProcessResult rest = RunProcess({.command = TrainCommand(out, "long.json")});
    EXPECT_EQ(rest.exit_code, 0) << rest.err;
    EXPECT_FALSE(WeightsOf(out, newest + 2).empty());
  }
}

TEST_F(RankProgramsTest, AStopOfOneRankStopsAllWithACheckpoint) {
  WriteJob("long.json", 100'000, 4, 2);
  const auto two =
      StartTwo(TrainCommand("stopped", "long.json"), TrainCommand("stopped", "long.json"));
  ASSERT_TRUE(WaitUntil(
      [&] {
        return std::filesystem::exists(directory_ /
                                       "stopped/attempts/1/checkpoints/step-2/complete");
      },
      absl::Seconds(120)))
      << two[0]->Stderr();
  two[1]->Signal(SIGTERM);
  for (const auto& process : two) {
    EXPECT_EQ(process->Wait(absl::Seconds(60)), 1) << process->Stderr();
  }
  EXPECT_THAT(two[0]->Stderr(), HasSubstr("goes on from the checkpoint"));
}

TEST_F(RankProgramsTest, JobsThatDifferOrDoNotDivideAreRefusedByAllRanks) {
  const auto refused = [&](const std::vector<std::string>& first,
                           const std::vector<std::string>& second, const std::string& why) {
    const auto two = StartTwo(first, second);
    for (const auto& process : two) {
      EXPECT_EQ(process->Wait(absl::Seconds(60)), 2) << process->Stderr();
      EXPECT_THAT(process->Stderr(), HasSubstr(why));
    }
  };
  WriteJob("larger.json", 3, 8);
  refused(TrainCommand("a"), TrainCommand("a", "larger.json"), "what the job file says differs");
  WriteJob("longer.json", 4);
  refused(TrainCommand("b"), TrainCommand("b", "longer.json"), "the length of the job differs");
  refused(TrainCommand("c"), TrainCommand("c", "job.json", "other"),
          "the pictures of data.content differs");
  WriteJob("odd.json", 3, 3);
  refused(TrainCommand("d", "odd.json"), TrainCommand("d", "odd.json"),
          "train.batch_size: must be a multiple of the number of workers, 2");
  const ProcessResult half = RunProcess(
      {.command = TrainCommand("e"), .environment = {{"WORLD_SIZE", "2"}, {"RANK", "0"}}});
  EXPECT_EQ(half.exit_code, 2);
  EXPECT_THAT(half.err, HasSubstr("MASTER_ADDR"));
}

// Two machines, as far as the network goes.
TEST_F(RankProgramsTest, RanksInTwoNetworkNamespacesFindEachOther) {
  const std::string script = std::string(ATELIER_SOURCE_DIR) + "/tests/integration/two_networks.sh";
  std::vector<std::string> command = {"/bin/sh", script};
  const std::vector<std::string> train = TrainCommand("networks");
  command.insert(command.end(), train.begin(), train.end());
  const ProcessResult result = RunProcess({.command = command}, absl::Seconds(240));
  if (result.exit_code == 77) {
    GTEST_SKIP() << result.err;
  }
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("rank 0 ended with 0"), HasSubstr("rank 1 ended with 0")));
  const ProcessResult alone = RunProcess({.command = TrainCommand("alone")});
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_LT(LargestDifference(WeightsOf("alone", 3), WeightsOf("networks", 3)), 2e-5);
}

}  // namespace
}  // namespace atelier::test
