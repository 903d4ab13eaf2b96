"""Errors a user can act on: the command line prints their message and no traceback."""


class UserError(Exception):
    """Something outside the code is wrong; the message names the file, key or sample and a cure."""


class ConfigError(UserError):
    """A wrong key or value in the configuration."""


class DataError(UserError):
    """A dataset, slice or sample that cannot be used."""


class PayloadError(UserError, ValueError):
    """What a trainer hands to the reward cannot be read."""


class BackendError(UserError):
    """A model that cannot be loaded or an engine that is gone."""


class HubError(DataError, BackendError):
    """A model or dataset that the hub does not give, or gives in another version than before."""


class TrainingError(UserError):
    """A training run that was stopped, or that ended without doing what it was asked for."""
