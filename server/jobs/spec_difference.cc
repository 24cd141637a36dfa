#include "server/jobs/spec_difference.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/strings/str_join.h"

namespace atelier::server {
namespace {

using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

constexpr std::size_t kMaxNamed = 3;

// Keeps the paths of what differs, each once, and no values: they may be long.
class PathCollector final : public MessageDifferencer::Reporter {
 public:
  using Path = std::vector<MessageDifferencer::SpecificField>;

  void ReportAdded(const Message&, const Message&, const Path& path) override { Add(path); }
  void ReportDeleted(const Message&, const Message&, const Path& path) override { Add(path); }
  // Of a message within, the fields that differ are told before; it says no more than they.
  void ReportModified(const Message&, const Message&, const Path& path) override {
    if (path.back().field == nullptr || path.back().field->message_type() == nullptr) {
      Add(path);
    }
  }

  const std::vector<std::string>& paths() const { return paths_; }

 private:
  void Add(const Path& path) {
    std::vector<std::string> names;
    for (const MessageDifferencer::SpecificField& part : path) {
      names.push_back(part.field == nullptr ? "a field that is newer than this server"
                                            : part.field->name());
    }
    std::string text = absl::StrJoin(names, ".");
    if (std::ranges::find(paths_, text) == paths_.end()) {
      paths_.push_back(std::move(text));
    }
  }

  std::vector<std::string> paths_;
};

}  // namespace

std::string SpecDifference(const v1::JobSpec& a, const v1::JobSpec& b) {
  PathCollector collector;
  MessageDifferencer differencer;
  differencer.ReportDifferencesTo(&collector);
  differencer.Compare(a, b);
  std::vector<std::string> named = collector.paths();
  if (named.size() > kMaxNamed) {
    named.resize(kMaxNamed);
    named.emplace_back("others");
  }
  if (named.size() < 2) {
    return absl::StrJoin(named, "");
  }
  const std::string last = named.back();
  named.pop_back();
  return absl::StrJoin(named, ", ") + " and " + last;
}

}  // namespace atelier::server
