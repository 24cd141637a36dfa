// The files of a model version on their way into the data directory. Functions block on the disk.
// Errors are free of paths: RESOURCE_EXHAUSTED disk full, PERMISSION_DENIED read-only, INTERNAL
// anything else, besides those told below.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/model_spec.h"

namespace atelier::server {

// The name of a version's folder, "12"; nullopt for anything but a decimal number from 1 without
// leading zeros.
std::optional<std::uint32_t> ParseVersionFolder(std::string_view name);

// Reads model.json and checks that the weights file has the size it tells. DATA_LOSS when not.
absl::StatusOr<ModelSpec> ReadModelFolder(const std::filesystem::path& folder);

// The same, and the weights have the SHA-256 of model.json. DATA_LOSS when not. Reads the whole
// file.
absl::StatusOr<ModelSpec> VerifyModelFolder(const std::filesystem::path& folder);

// Copies the model files of `result` into `name_folder`/<version> by way of a staging folder; when
// it returns OK they are on the disk, with a marker that says that the store does not know them
// yet. `result` stays as it is. After an error nothing is left.
absl::Status StageModel(const std::filesystem::path& result,
                        const std::filesystem::path& name_folder, std::uint32_t version);

// Takes the marker away: the store knows the version now.
void FinishModel(const std::filesystem::path& name_folder, std::uint32_t version);

// Undoes StageModel.
void DiscardModel(const std::filesystem::path& name_folder, std::uint32_t version);

// Takes a version's folder away, if it is there: at one stroke out of sight, then file by file.
absl::Status RemoveModelFiles(const std::filesystem::path& name_folder, std::uint32_t version);

// Clears what a crash left below `models_directory`: staging folders go; marked folders go unless
// `is_known` says that the store has them. Folders without a marker are somebody's own and stay.
absl::Status RecoverModelFiles(
    const std::filesystem::path& models_directory,
    const std::function<bool(const std::string& name, std::uint32_t version)>& is_known);

}  // namespace atelier::server
