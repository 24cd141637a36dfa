# One target a folder. Sources are the folder's .cc files unless SRCS names them.
#
#   atelier_library(NAME [TORCH] [SRCS a.cc ...] [DEPS target ...])
#   atelier_program(NAME [TORCH] SRCS main.cc ... DEPS target ...)
#   atelier_test(NAME [TORCH] [SRCS ...] DEPS target ... [LABELS ...] [TIMEOUT seconds] [TOGETHER suite ...]
#                [REST_TOGETHER] [APART suite ...])
#
# TORCH: the sources include LibTorch headers; they share one precompiled header (cmake/torch_pch.h).
# A test is a process of its own for ctest, of which LibTorch's start takes 0.6 s; but
# TOGETHER: suites that run in one process each, REST_TOGETHER: all that neither TOGETHER nor APART names in one. A test that may be
# skipped belongs apart: within a process of many nobody would count it.
# With ATELIER_UNITY a target's files are compiled some at a time as one file; names in anonymous namespaces are unique in a target.

function(_atelier_sources out)
  if(ARGN)
    set(${out} ${ARGN} PARENT_SCOPE)
  else()
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
    list(FILTER found EXCLUDE REGEX "/main\\.cc$")
    set(${out} ${found} PARENT_SCOPE)
  endif()
endfunction()

# Equal chunks of at most 12 files: large enough that the shared headers are paid for rarely, small enough that two compilers at once
# fit in 8 GB and that a changed file is compiled again in a minute. CMake leaves files with options of their own out by itself.
function(_atelier_unity target)
  get_target_property(sources ${target} SOURCES)
  list(LENGTH sources count)
  if(NOT ATELIER_UNITY OR count LESS 2)
    return()
  endif()
  math(EXPR chunks "(${count} + 11) / 12")
  math(EXPR size "(${count} + ${chunks} - 1) / ${chunks}")
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE BATCH UNITY_BUILD_BATCH_SIZE ${size})
endfunction()

function(_atelier_common target torch)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  if(torch)
    target_link_libraries(${target} PUBLIC atelier::torch)
    if(NOT target STREQUAL "atelier_torch_pch")
      target_precompile_headers(${target} REUSE_FROM atelier_torch_pch)
      # Programs would be compiled with -fPIE, which the header, made with -fPIC, does not fit.
      target_compile_options(${target} PRIVATE -fPIC)
    endif()
  endif()
endfunction()

function(atelier_library name)
  cmake_parse_arguments(A "TORCH" "" "SRCS;DEPS" ${ARGN})
  _atelier_sources(sources ${A_SRCS})
  if(NOT sources)
    message(FATAL_ERROR "atelier_library(${name}): no sources in ${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC ${A_DEPS})
  _atelier_common(${name} "${A_TORCH}")
  _atelier_unity(${name})
endfunction()

function(atelier_program name)
  cmake_parse_arguments(A "TORCH" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${A_SRCS})
  target_link_libraries(${name} PRIVATE ${A_DEPS})
  _atelier_common(${name} "${A_TORCH}")
  _atelier_unity(${name})
  # A component a program, so that an image takes only its own: cmake --install ... --component atelier-server
  install(TARGETS ${name} DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${name})
endfunction()

# One entry of ctest for all tests that a filter names.
macro(_atelier_tests_of_one_process entry program filter)
  add_test(NAME ${entry} COMMAND ${program} "--gtest_filter=${filter}")
  set_tests_properties(${entry} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}" FAIL_REGULAR_EXPRESSION "Running 0 tests")
endmacro()

function(atelier_test name)
  cmake_parse_arguments(A "TORCH;REST_TOGETHER" "TIMEOUT" "SRCS;DEPS;LABELS;TOGETHER;APART" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 300)
  endif()
  _atelier_sources(sources ${A_SRCS})
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE ATELIER_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ATELIER_BINARY_DIR="${CMAKE_BINARY_DIR}")
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  # No shared precompiled header: the two definitions above differ from those it was made with.
  if(A_TORCH)
    target_link_libraries(${name} PRIVATE atelier::torch)
    target_precompile_headers(${name} REUSE_FROM atelier_torch_pch)
    target_compile_options(${name} PRIVATE -fPIC)
  else()
    # The tests' own lines need not be fast: a quarter less to compile. With LibTorch the precompiled header forbids it.
    target_compile_options(${name} PRIVATE -O0)
  endif()
  _atelier_unity(${name})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  # Suites are called S, S/0 (typed), or P/S (with parameters).
  set(apart)
  set(together)
  foreach(suite ${A_APART})
    string(APPEND apart ":${suite}.*:${suite}/*:*/${suite}.*")
  endforeach()
  foreach(suite ${A_TOGETHER})
    set(filter "${suite}.*:${suite}/*:*/${suite}.*")
    _atelier_tests_of_one_process(${suite} ${name} "${filter}")
    string(APPEND together ":${filter}")
  endforeach()
  if(A_REST_TOGETHER)
    _atelier_tests_of_one_process(${name} ${name} "*-${together}${apart}")
    if(NOT A_APART)
      return()
    endif()
    set(one_by_one "${apart}")
  else()
    set(one_by_one "-${together}")
  endif()
  string(REGEX REPLACE "^(-?):" "\\1" one_by_one "${one_by_one}")
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 120 TEST_FILTER "${one_by_one}"
                       PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()

# Adds the sub-folders in the order given.
function(atelier_add_rooms)
  foreach(room ${ARGN})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${room}/CMakeLists.txt)
      add_subdirectory(${room})
    endif()
  endforeach()
endfunction()
