# Language, warnings and where the pinned downloads of scripts/install-deps lie.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
# -O2 rather than -O3: the hot loops live in LibTorch and in worker/kernels, and -O3 costs a third more build time.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")

option(ATELIER_TESTS "Build the tests" ON)
option(ATELIER_UNITY "Compile several files of a target as one (scripts/lint needs them one by one)" ON)
option(ATELIER_WERROR "Treat warnings as errors" OFF)
set(ATELIER_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")

if(DEFINED ENV{ATELIER_CACHE})
  set(_deps_default $ENV{ATELIER_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(_deps_default $ENV{XDG_CACHE_HOME}/atelier)
else()
  set(_deps_default $ENV{HOME}/.cache/atelier)
endif()
set(ATELIER_DEPS_DIR ${_deps_default} CACHE PATH "Where scripts/install-deps keeps its downloads")

# For the C++ compiler only: nvcc takes none of these.
set(_cxx_options -Wall -Wextra -Wno-missing-field-initializers)
if(ATELIER_WERROR)
  list(APPEND _cxx_options -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND _cxx_options -Wthread-safety)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${_cxx_options}>")
if(ATELIER_SANITIZE)
  add_compile_options(
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${ATELIER_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
  add_link_options(-fsanitize=${ATELIER_SANITIZE})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # A precompiled header works with ccache only with these settings (ccache manual, "Precompiled headers").
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endif()
