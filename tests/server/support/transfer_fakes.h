// Conversions without LibTorch.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <variant>

#include "atelier/v1/models.pb.h"
#include "common/convert_task.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "server/transfer/converter.h"

namespace atelier::test {

// What a converter leaves of an import, whose "weights" are the input's bytes.
inline void WriteConvertedModel(const std::filesystem::path& folder) {
  const std::filesystem::path model = folder / kConvertModel;
  std::filesystem::create_directories(model);
  const std::string bytes = ReadFile(folder / kConvertInput, 64 << 20).value_or("");
  ASSERT_TRUE(WriteFileAtomically(model / "weights.safetensors", bytes).ok());
  ASSERT_TRUE(WriteFileAtomically(model / "card.md", "# Imported").ok());
  ModelSpec spec;
  spec.family = "cyclegan";
  spec.architecture.generator = "resnet-9";
  spec.weights_sha256 = Sha256Hex(bytes);
  spec.weights_bytes = bytes.size();
  ASSERT_TRUE(WriteModelSpec(model, spec).ok());
}

class FakeConverter final : public server::Converter {
 public:
  // Set before the first call. The default makes a model of any input, and exports the bytes of the
  // weights.
  std::function<absl::Status(const std::filesystem::path& folder, const std::stop_token& stop)>
      convert = [](const std::filesystem::path& folder, const std::stop_token&) -> absl::Status {
    const ConvertTask task = ReadConvertTask(folder).value();
    if (const auto* work = std::get_if<ExportTask>(&task.work)) {
      return WriteFileAtomically(
          folder / kConvertOutput,
          ReadFile(work->model / "weights.safetensors", 64 << 20).value_or(""));
    }
    WriteConvertedModel(folder);
    return absl::OkStatus();
  };
  absl::Status ready;

  absl::Status Ready() const override { return ready; }
  absl::Status Convert(const std::filesystem::path& folder, std::stop_token stop) override {
    return convert(folder, stop);
  }
};

// A header that fits `bytes`.
inline v1::ImportModelHeader HeaderOf(const std::string& name, const std::string& bytes) {
  v1::ImportModelHeader header;
  header.set_name(name);
  header.set_sha256(Sha256Hex(bytes));
  header.set_size(bytes.size());
  return header;
}

}  // namespace atelier::test
