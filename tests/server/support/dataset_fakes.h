// Data sets without LibTorch: pictures that have nothing but a header, and a gatherer that believes
// them.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "atelier/v1/datasets.pb.h"
#include "common/files.h"
#include "common/picture_task.h"
#include "common/status_macros.h"
#include "server/transfer/converter.h"

namespace atelier::test {

// A JPEG of 32 x 32 px as far as its header goes; other bytes for another `content`.
inline std::string HeaderOfPicture(const std::string& content) {
  return std::string("\xff\xd8\xff\xc0\x00\x11\x08\x00\x20\x00\x20\x03", 12) +
         std::string("\x01\x22\x00\x02\x11\x01\x03\x11\x01", 9) + content;
}

inline v1::UploadDatasetFile FileOf(const std::string& name, const std::string& bytes) {
  v1::UploadDatasetFile file;
  file.set_name(name);
  file.set_size(bytes.size());
  file.set_sha256(Sha256Hex(bytes));
  return file;
}

// Makes the set's new folder of what is there and what was uploaded; an archive becomes one
// picture, an imported folder another one.
class FakeGatherer final : public server::Converter {
 public:
  // Called first; an error is the outcome.
  std::function<absl::Status(const std::stop_token&)> before = [](const std::stop_token&) {
    return absl::OkStatus();
  };
  GatherTask last;

  absl::Status Ready() const override { return absl::OkStatus(); }

  absl::Status Convert(const std::filesystem::path& folder, std::stop_token stop) override {
    ATELIER_RETURN_IF_ERROR(before(stop));
    ATELIER_ASSIGN_OR_RETURN(const PictureTask task, ReadPictureTask(folder));
    if (std::holds_alternative<SampleTask>(task.work)) {
      return WriteFileAtomically(folder / kSampleFile, "jpeg");
    }
    last = std::get<GatherTask>(task.work);
    return Gather(folder);
  }

 private:
  absl::Status Gather(const std::filesystem::path& folder) const {
    namespace fs = std::filesystem;
    const fs::path made = folder / kGatheredSet;
    fs::copy(last.set, made, fs::copy_options::recursive);
    GatherReport report;
    if (last.source != GatherTask::Source::kUpload) {
      report.added = 1;
      ATELIER_RETURN_IF_ERROR(WriteFileAtomically(made / "gathered.jpg", HeaderOfPicture("g")));
      return WriteGatherReport(folder, report);
    }
    ATELIER_ASSIGN_OR_RETURN(const auto files, ReadUploadList(last.from));
    for (std::size_t i = 0; i < files.size(); ++i) {
      fs::create_directories((made / files[i].name).parent_path());
      fs::copy_file(last.from / std::to_string(i), made / files[i].name);
      ++report.added;
      report.added_bytes += files[i].size;
    }
    return WriteGatherReport(folder, report);
  }
};

}  // namespace atelier::test
