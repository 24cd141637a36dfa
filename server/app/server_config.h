// The configuration file: reading, checking and filling in atelier.v1.ServerConfig.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/v1/config.pb.h"

namespace atelier::server {

// Reads the JSON. Relative paths in it are relative to `folder`. Only what the text says is set.
// INVALID_ARGUMENT: not JSON, an unknown key, or a value out of its range; the sentence begins with
// the key, for example "limits.max_waiting: must be from 1 to 100000".
absl::StatusOr<v1::ServerConfig> ParseConfig(std::string_view json,
                                             const std::filesystem::path& folder);

// The same for a file of at most 1 MiB; its folder is what paths are relative to. NOT_FOUND,
// PERMISSION_DENIED, INTERNAL and INVALID_ARGUMENT name the key "config" when the file itself is at
// fault.
absl::StatusOr<v1::ServerConfig> ReadConfig(const std::filesystem::path& file);

// Every value that is set, against the range that config.proto says.
absl::Status CheckConfig(const v1::ServerConfig& config);

// What holds: the defaults, over them what the file says, over that the command line.
v1::ServerConfig EffectiveConfig(const v1::ServerConfig& file,
                                 const v1::ServerConfig& command_line);

// The bounds of durations that the command line says, too. Unit: seconds.
inline constexpr double kMaxDrainGrace = 600;
inline constexpr double kMaxDrainTimeout = 3600;
inline constexpr double kMaxWorkerGrace = 86400;
inline constexpr double kLeastWorkerSilence = 1;
inline constexpr double kMostWorkerSilence = 600;

// The bounds of TrainerSettings.
inline constexpr std::uint32_t kMaxTrainers = 64;
inline constexpr double kLeastServingShare = 0.5;
inline constexpr double kMostServingShare = 0.98;
inline constexpr std::uint32_t kMaxTrainerThreads = 1024;

inline constexpr std::uint64_t kMib = 1ULL << 20U;
// The most that any bound of memory may be. Unit: MiB.
inline constexpr std::uint64_t kMaxMib = 1048576;

}  // namespace atelier::server
