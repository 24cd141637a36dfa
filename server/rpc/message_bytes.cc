#include "server/rpc/message_bytes.h"

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/rpc/wire_cost.h"

namespace atelier::server {
namespace {

using google::protobuf::Message;

absl::Status NoSuchMessage(const google::protobuf::Descriptor& type) {
  return absl::InvalidArgumentError(
      absl::StrCat("The bytes that were sent are no ", type.full_name(), "."));
}

}  // namespace

absl::Status CheckMessage(grpc::ByteBuffer& bytes, const google::protobuf::Descriptor& type) {
  if (!bytes.Valid()) {
    return NoSuchMessage(type);
  }
  grpc::ProtoBufferReader reader(&bytes);
  return CheckWireCost(reader, bytes.Length(), type);
}

absl::Status ReadMessage(grpc::ByteBuffer& bytes, Message& message) {
  grpc::ByteBuffer taken;  // a copy of a ByteBuffer shares its bytes, so it is swapped
  taken.Swap(&bytes);
  ATELIER_RETURN_IF_ERROR(CheckMessage(taken, *message.GetDescriptor()));
  grpc::ProtoBufferReader reader(&taken);
  return message.ParseFromZeroCopyStream(&reader) ? absl::OkStatus()
                                                  : NoSuchMessage(*message.GetDescriptor());
}

grpc::ByteBuffer BytesOfMessage(const Message& message) {
  grpc::ByteBuffer bytes;
  bool owned = false;
  // Fails for messages above 2 GiB only.
  grpc::SerializationTraits<Message>::Serialize(message, &bytes, &owned);
  return bytes;
}

}  // namespace atelier::server
