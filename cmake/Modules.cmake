# whimbrel_module(NAME USES <modules> LIBRARIES <targets>): the static library whimbrel_NAME from src/NAME/*.cc.
# Its public header is include/whimbrel/NAME.h; private headers stay in src/NAME. Third-party libraries are private.
function(whimbrel_module name)
  cmake_parse_arguments(ARG "" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_module\\.cc$")  # built as shared modules, see Engines.cmake
  add_library(whimbrel_${name} STATIC ${sources})
  set_target_properties(whimbrel_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(whimbrel_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM ARG_USES PREPEND whimbrel_)
  target_link_libraries(whimbrel_${name} PUBLIC ${ARG_USES} PRIVATE ${ARG_LIBRARIES})
  whimbrel_precompile(whimbrel_${name} whimbrel_core)
endfunction()

# whimbrel_precompile(TARGET OWNER HEADERS...): in builds for sanitizers, the headers that nearly every file reads are read once, for
# OWNER, and used by TARGET. Not in release builds: there a file must compile with what it includes itself.
function(whimbrel_precompile target owner)
  if(WHIMBREL_SANITIZE AND TARGET ${owner} AND NOT target STREQUAL owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  elseif(WHIMBREL_SANITIZE)
    target_precompile_headers(${target} PRIVATE <algorithm> <filesystem> <fstream> <functional> <map> <memory> <mutex> <optional>
      <span> <string> <vector> <fmt/format.h> ${ARGN})
  endif()
endfunction()
