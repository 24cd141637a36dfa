#include "server/rpc/wire_cost.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/errors.h"

namespace atelier::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Generous: the largest of the objects that requests are made of, with the pointer to it and the
// allocator's share. Unit: bytes.
constexpr std::uint64_t kObject = 256;
constexpr std::uint64_t kString = 64;   // and its bytes
constexpr std::uint64_t kUnknown = 64;  // a field that this version does not know is kept, too
constexpr std::uint64_t kNumber = 8;
constexpr int kMostLevels = 100;  // as protobuf's own
constexpr std::uint32_t kMostLength = 0x7fffffff;

class WireCost {
 public:
  WireCost(CodedInputStream& wire, std::uint64_t room) : wire_(wire), room_(room) {}

  // Whether the message is whole and within the room.
  bool Spend(const Descriptor& type, int level) {
    if (level > kMostLevels) {
      return false;
    }
    while (const std::uint32_t tag = wire_.ReadTag()) {
      const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
      if (!SpendField(field, WireFormatLite::GetTagWireType(tag), level)) {
        return false;
      }
    }
    return wire_.ConsumedEntireMessage();
  }

  // The field that went past it; nullptr: one that is not known, or bytes that are no message.
  const FieldDescriptor* culprit() const { return culprit_; }
  bool spent() const { return spent_; }

 private:
  bool SpendField(const FieldDescriptor* field, WireFormatLite::WireType wire_type, int level) {
    std::uint64_t number = 0;
    std::uint32_t fixed = 0;
    switch (wire_type) {
      case WireFormatLite::WIRETYPE_VARINT:
        return wire_.ReadVarint64(&number) && Take(field == nullptr ? kUnknown : kNumber, field);
      case WireFormatLite::WIRETYPE_FIXED64:
        return wire_.ReadLittleEndian64(&number) &&
               Take(field == nullptr ? kUnknown : kNumber, field);
      case WireFormatLite::WIRETYPE_FIXED32:
        return wire_.ReadLittleEndian32(&fixed) &&
               Take(field == nullptr ? kUnknown : kNumber, field);
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
        return SpendPart(field, level);
      default:
        return false;  // groups, which proto3 has none of
    }
  }

  // A message, a text, bytes or packed numbers, behind their length.
  bool SpendPart(const FieldDescriptor* field, int level) {
    std::uint32_t length = 0;
    if (!wire_.ReadVarint32(&length) || length > kMostLength) {
      return false;
    }
    if (field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!Take(kObject, field)) {
        return false;
      }
      const CodedInputStream::Limit limit = wire_.PushLimit(static_cast<int>(length));
      const bool good = Spend(*field->message_type(), level + 1);
      wire_.PopLimit(limit);
      return good;
    }
    return Take(CostOfPart(field, length), field) && wire_.Skip(static_cast<int>(length));
  }

  static std::uint64_t CostOfPart(const FieldDescriptor* field, std::uint64_t length) {
    if (field == nullptr) {
      return kUnknown + length;
    }
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return kString + length;
      // Every byte may be a number of its own.
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_UINT64:
        return length * sizeof(std::uint64_t);
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_UINT32:
      case FieldDescriptor::CPPTYPE_ENUM:
        return length * sizeof(std::uint32_t);
      default:
        return length;  // as on the wire: floats and bools
    }
  }

  bool Take(std::uint64_t cost, const FieldDescriptor* field) {
    if (cost > room_) {
      culprit_ = field;
      spent_ = true;
      return false;
    }
    room_ -= cost;
    return true;
  }

  CodedInputStream& wire_;
  std::uint64_t room_;
  const FieldDescriptor* culprit_ = nullptr;
  bool spent_ = false;
};

}  // namespace

absl::Status CheckWireCost(google::protobuf::io::ZeroCopyInputStream& wire, std::uint64_t bytes,
                           const Descriptor& type) {
  CodedInputStream stream(&wire);
  WireCost cost(stream, kFreeExpansion + kMostExpansion * bytes);
  if (cost.Spend(type, 1)) {
    return absl::OkStatus();
  }
  if (cost.spent()) {
    return InvalidField(cost.culprit() == nullptr ? "message" : cost.culprit()->name(),
                        absl::StrCat("has too many elements: the message would take more than ",
                                     kMostExpansion, " times its size in memory"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("The bytes that were sent are no ", type.full_name(), "."));
}

}  // namespace atelier::server
