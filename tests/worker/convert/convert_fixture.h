// A folder in which files of weights become models and models files.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "common/convert_task.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/convert/convert_files.h"
#include "worker/convert/export_model.h"
#include "worker/convert/import_model.h"
#include "worker/models/safetensors.h"

namespace atelier::convert {

inline std::string Message(const absl::Status& status) { return std::string(status.message()); }

class ConvertTest : public testing::Test {
 protected:
  absl::Status Import(const std::string& bytes, const ImportTask& task = {}) {
    std::filesystem::remove_all(folder_ / kConvertModel);
    EXPECT_TRUE(WriteFileAtomically(folder_ / kConvertInput, bytes).ok());
    ImportTask complete = task;
    complete.sha256 = Sha256Hex(bytes);
    return ImportModel(complete, folder_.path(),
                       std::filesystem::path(ATELIER_BINARY_DIR) /
                           "share/atelier/features/efficientnet_lite0.pth");
  }

  std::filesystem::path model() const { return folder_ / kConvertModel; }
  ModelSpec Spec() const { return ReadModelSpec(model()).value(); }
  std::string File(const std::string& name) const {
    return ReadFile(model() / name, kMaxFileBytes).value();
  }
  models::TensorMap Imported() const {
    return models::ParseSafetensors(File("weights.safetensors")).value().tensors;
  }

  // The file that a model is exported to.
  absl::StatusOr<std::string> Export(WeightsFormat format) {
    const std::filesystem::path out = folder_ / "out";
    std::filesystem::create_directories(out);
    if (absl::Status status = ExportModel({.model = model(), .format = format}, out);
        !status.ok()) {
      return status;
    }
    return ReadFile(out / kConvertOutput, kMaxFileBytes);
  }

  test::TempDir folder_;
};

}  // namespace atelier::convert
