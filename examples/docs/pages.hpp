#pragma once
/// @file
/// One function for each page.
bool plans();
bool placements();
bool styles();
bool models();
bool experts();
bool engines();
bool checkpoints();
bool family();
bool reports();
bool gpu();
