# build/<preset>/whimbrel, and beside it the verbs that are Python: whimbrel-export, whimbrel-report.
file(GLOB cli_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cli/*.cc)
if(cli_sources)
  add_executable(whimbrel ${cli_sources})
  target_include_directories(whimbrel PRIVATE src)
  target_link_libraries(whimbrel PRIVATE whimbrel_plan CLI11::CLI11 fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json)
  target_compile_definitions(whimbrel PRIVATE WHIMBREL_VERSION="${PROJECT_VERSION}")
  set_target_properties(whimbrel PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
endif()
foreach(verb export report)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/whimbrel-verb.in ${PROJECT_BINARY_DIR}/whimbrel-${verb} @ONLY
    FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endforeach()
