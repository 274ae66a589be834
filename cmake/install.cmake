# Installs the headers, the CMake package and the pkg-config file; none depends on the architecture, so they lie below share/.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/shardproof)

install(TARGETS shardproof EXPORT shardproof FILE_SET HEADERS)
install(EXPORT shardproof NAMESPACE shardproof:: FILE shardproofTargets.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/shardproofConfig.cmake.in shardproofConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(shardproofConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/shardproofConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/shardproofConfigVersion.cmake
              cmake/packages.cmake cmake/FindNCCL.cmake DESTINATION ${package_dir})
configure_file(cmake/shardproof.pc.in shardproof.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/shardproof.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
