#include "worker/train/memory_use.h"

#include <c10/core/CachingDeviceAllocator.h>

#include "common/process_memory.h"

namespace atelier::train {

std::uint64_t MemoryInUse(const c10::Device& device) {
  if (device.is_cpu()) {
    return ResidentBytes();
  }
  auto* const allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type()));
  if (allocator == nullptr || !allocator->initialized()) {
    return 0;
  }
  constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  return static_cast<std::uint64_t>(
      allocator->getDeviceStats(device.index()).allocated_bytes[kAll].current);
}

}  // namespace atelier::train
