# With the thread sanitizer: our calls to absl::Mutex, CondVar and Notification go through cmake/tsan_absl.cc, which
# annotates them.
if(NOT ATELIER_SANITIZE MATCHES "thread")
  return()
endif()
get_target_property(_absl_include absl::base INTERFACE_INCLUDE_DIRECTORIES)
file(STRINGS ${_absl_include}/absl/base/options.h _namespace REGEX "define ABSL_OPTION_INLINE_NAMESPACE_NAME")
string(REGEX REPLACE ".*NAMESPACE_NAME +([A-Za-z0-9_]+).*" "\\1" _namespace "${_namespace}")
string(LENGTH "${_namespace}" _length)
set(_prefix "4absl${_length}${_namespace}")

add_library(atelier_tsan_absl STATIC ${CMAKE_SOURCE_DIR}/cmake/tsan_absl.cc)
target_link_libraries(atelier_tsan_absl PUBLIC absl::synchronization)
target_compile_definitions(atelier_tsan_absl PRIVATE ATELIER_ABSL_PREFIX="_ZN${_prefix}" ATELIER_ABSL_PREFIX_CONST="_ZNK${_prefix}")

set(_wrapped)
foreach(name
    5Mutex4LockEv 5Mutex6UnlockEv 5Mutex10ReaderLockEv 5Mutex12ReaderUnlockEv
    5Mutex5AwaitERKNS0_9ConditionE 5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE
    5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE
    7CondVar4WaitEPNS0_5MutexE 7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE
    7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE
    12Notification6NotifyEv)
  list(APPEND _wrapped _ZN${_prefix}${name})
endforeach()
foreach(name
    12Notification19WaitForNotificationEv 12Notification30WaitForNotificationWithTimeoutENS0_8DurationE
    12Notification31WaitForNotificationWithDeadlineENS0_4TimeE)
  list(APPEND _wrapped _ZNK${_prefix}${name})
endforeach()
foreach(symbol ${_wrapped})
  # -u: Abseil's own archives call these too, and stand behind ours on the command line.
  add_link_options(LINKER:--wrap=${symbol} LINKER:-u,__wrap_${symbol})
endforeach()
link_libraries(atelier_tsan_absl)
