// The configuration as the rooms take it, and what differs between two of them.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "atelier/v1/config.pb.h"
#include "server/datasets/dataset_keeper.h"
#include "server/dispatch/supervisor/trainer_share.h"
#include "server/models/serving_settings.h"
#include "server/queue/queue_limits.h"

namespace atelier::server {

// All of these take what EffectiveConfig returns.
QueueLimits LimitsOf(const v1::ServerConfig& config);
ServingSettings ServingOf(const v1::ServerConfig& config);
TrainerShare TrainerShareOf(const v1::ServerConfig& config, std::uint32_t cores);
DatasetLimits DatasetLimitsOf(const v1::ServerConfig& config);
std::uint64_t CacheBytesOf(const v1::ServerConfig& config);

// Sets what this program logs. `level` is one that CheckConfig lets through.
void SetLogLevel(const std::string& level);

// The keys ("limits.max_waiting", "models.oil.keep") whose values differ or that only one has.
std::set<std::string> DifferentKeys(const v1::ServerConfig& a, const v1::ServerConfig& b);

// Whether a new value of `key` holds only after a restart.
bool IsStartKey(const std::string& key);

// `config` with the values of `running` at every such key.
v1::ServerConfig WithStartKeysOf(const v1::ServerConfig& running, v1::ServerConfig config);

}  // namespace atelier::server
