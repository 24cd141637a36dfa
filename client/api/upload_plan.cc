// PlanUpload: what is sent, and under which names.
#include <algorithm>
#include <set>
#include <string_view>
#include <system_error>

#include "absl/strings/ascii.h"
#include "client/api/dataset_upload.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/image_header.h"
#include "common/picture_path.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace atelier::client {
namespace {

namespace fs = std::filesystem;

bool IsArchive(const fs::path& path) {
  constexpr std::string_view kEndings[] = {".zip",     ".tar",    ".tar.gz", ".tgz",
                                           ".tar.bz2", ".tar.xz", ".tar.zst"};
  const std::string name = absl::AsciiStrToLower(path.filename().string());
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&name](std::string_view ending) { return name.ends_with(ending); });
}

absl::Status BadInput(const std::string& sentence) { return InvalidField("input", sentence); }

// Collects files by their names in the set.
class Planner final {
 public:
  explicit Planner(bool skip_bad) : skip_bad_(skip_bad) {}

  absl::Status AddInput(const fs::path& input) {
    std::error_code error;
    if (fs::is_directory(input, error)) {
      return AddFolder(input, /*label=*/"");
    }
    if (!fs::exists(input, error)) {
      return absl::NotFoundError("there is no file or folder \"" + input.string() + "\"");
    }
    return AddPicture(input, input.filename().string());
  }

  absl::Status AddArchive(const fs::path& path) {
    plan_.kind = v1::DATASET_UPLOAD_KIND_ARCHIVE;
    return AddFile(path, path.filename().string());
  }

  absl::StatusOr<UploadPlan> Finish() {
    if (plan_.files.empty()) {
      return BadInput("holds no pictures: .jpg, .jpeg, .png and .webp files are");
    }
    std::sort(plan_.files.begin(), plan_.files.end(),
              [](const UploadSource& a, const UploadSource& b) { return a.name < b.name; });
    Sha256 hash;
    hash.Add(std::to_string(plan_.kind));
    for (const UploadSource& file : plan_.files) {
      hash.Add("\n" + file.name + "\n" + file.sha256);
    }
    constexpr std::size_t kIdDigits = 32;
    plan_.upload_id = "u" + hash.Hex().substr(0, kIdDigits);
    return plan_;
  }

 private:
  // A link to a file is what it leads to: what lies here is the user's own.
  absl::Status AddFolder(const fs::path& folder, const std::string& label) {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      std::error_code kind_error;
      const bool is_folder = it->is_directory(kind_error);
      if (name.starts_with('.') || (is_folder && !label.empty()) ||
          (!is_folder && !HasPictureExtension(it->path()))) {
        ++plan_.ignored;
      } else if (is_folder) {
        ATELIER_RETURN_IF_ERROR(AddFolder(it->path(), name));
      } else {
        ATELIER_RETURN_IF_ERROR(AddPicture(it->path(), label.empty() ? name : label + "/" + name));
      }
    }
    return error ? absl::InternalError("cannot read the folder \"" + folder.string() + "\"")
                 : absl::OkStatus();
  }

  absl::Status AddPicture(const fs::path& path, const std::string& name) {
    ATELIER_RETURN_IF_ERROR(ParsePicturePath("input", name).status());
    if (!names_.insert(name).second) {
      return BadInput("two pictures are called " + QuotedName(name) + "; rename one of them");
    }
    if (!skip_bad_) {
      ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxImageBytes));
      const absl::Status header = ReadImageHeader(bytes).status();
      if (!header.ok()) {
        std::string sentence(header.message());
        constexpr std::string_view kImage = "image: ";
        return BadInput(QuotedName(name) + " " +
                        (sentence.starts_with(kImage) ? sentence.substr(kImage.size()) : sentence));
      }
    }
    return AddFile(path, name);
  }

  absl::Status AddFile(const fs::path& path, const std::string& name) {
    UploadSource file = {.path = path, .name = name};
    std::error_code error;
    file.size = fs::file_size(path, error);
    if (error || file.size == 0) {
      return BadInput(QuotedName(name) + (error ? " cannot be read" : " is empty"));
    }
    ATELIER_ASSIGN_OR_RETURN(file.sha256, Sha256HexOfFile(path));
    plan_.bytes += file.size;
    plan_.files.push_back(std::move(file));
    return absl::OkStatus();
  }

  const bool skip_bad_;
  UploadPlan plan_;
  std::set<std::string> names_;
};

}  // namespace

absl::StatusOr<UploadPlan> PlanUpload(const std::vector<fs::path>& inputs, bool skip_bad) {
  Planner planner(skip_bad);
  for (const fs::path& input : inputs) {
    if (!IsArchive(input) || fs::is_directory(input)) {
      ATELIER_RETURN_IF_ERROR(planner.AddInput(input));
      continue;
    }
    if (inputs.size() > 1) {
      return BadInput("an archive is sent alone; send " + QuotedName(input.filename().string()) +
                      " by itself");
    }
    ATELIER_RETURN_IF_ERROR(planner.AddArchive(input));
  }
  return planner.Finish();
}

}  // namespace atelier::client
