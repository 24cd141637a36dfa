#include "worker/ranks/launch_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace atelier::ranks {
namespace {

using Environment = std::map<std::string, std::string>;

absl::StatusOr<std::optional<Launch>> Read(const Environment& environment) {
  return LaunchFromEnvironment([&](const char* name) {
    const auto it = environment.find(name);
    return it == environment.end() ? nullptr : it->second.c_str();
  });
}

Environment Torchrun() {
  return {{"WORLD_SIZE", "4"},
          {"RANK", "3"},
          {"LOCAL_RANK", "1"},
          {"MASTER_ADDR", "10.0.0.1"},
          {"MASTER_PORT", "29500"}};
}

TEST(LaunchEnvironmentTest, TorchrunsVariablesMakeARankOfAGroup) {
  Environment environment = Torchrun();
  auto launch = Read(environment);
  ASSERT_TRUE(launch.ok() && launch->has_value()) << launch.status();
  EXPECT_EQ((*launch)->group.size, 4);
  EXPECT_EQ((*launch)->group.rank, 3);
  EXPECT_EQ((*launch)->local_rank, 1);
  EXPECT_EQ((*launch)->group.host, "10.0.0.1");
  EXPECT_EQ((*launch)->group.port, 29500);
  EXPECT_FALSE((*launch)->group.hosted_elsewhere);

  environment["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  environment["TORCHELASTIC_RESTART_COUNT"] = "2";
  environment["GLOO_SOCKET_IFNAME"] = "eth1";
  launch = Read(environment);
  ASSERT_TRUE(launch.ok() && launch->has_value()) << launch.status();
  EXPECT_TRUE((*launch)->group.hosted_elsewhere);
  EXPECT_EQ((*launch)->group.name, "atelier/2");
  EXPECT_EQ((*launch)->group.interface, "eth1");
}

TEST(LaunchEnvironmentTest, WithoutAWorldThereIsNoGroup) {
  EXPECT_FALSE(Read({})->has_value());
  EXPECT_FALSE(Read({{"RANK", "0"}})->has_value());
  EXPECT_FALSE(Read({{"WORLD_SIZE", "1"}})->has_value());
}

TEST(LaunchEnvironmentTest, WhatIsMissingOrOutOfRangeIsNamed) {
  const auto refused = [](const std::string& name, const std::string& value) {
    Environment environment = Torchrun();
    environment[name] = value;
    const auto launch = Read(environment);
    EXPECT_EQ(launch.status().code(), absl::StatusCode::kInvalidArgument) << name << "=" << value;
    EXPECT_THAT(std::string(launch.status().message()), testing::HasSubstr(name));
  };
  refused("WORLD_SIZE", "many");
  refused("WORLD_SIZE", "0");
  refused("RANK", "");
  refused("RANK", "4");
  refused("LOCAL_RANK", "-1");
  refused("MASTER_ADDR", "");
  refused("MASTER_PORT", "0");
  refused("MASTER_PORT", "70000");
}

}  // namespace
}  // namespace atelier::ranks
